import type { ExpressionBuilder, Kysely } from 'kysely';
import { hasCommit } from './run-history.ts';
import { OPEN_STATES, TERMINAL_STATES } from './run-states.ts';
import type { Database } from './schema.ts';

/** Reads what retention may delete. Times are RFC 3339. */
export function createRetentionQueries(db: Kysely<Database>) {
  return {
    /** Reads the runs whose events were deleted in part, by a server that was killed. */
    async runsWithEventsLeft(): Promise<string[]> {
      const rows = await db
        .selectFrom('runs')
        .select('run_id')
        .where('events_deleted_at', 'is not', null)
        .where((eb) => eb.exists(eb.selectFrom('events').select('seq').whereRef('events.run_id', '=', 'runs.run_id')))
        .execute();
      return rows.map((row) => row.run_id);
    },

    /** Reads runs that finished before a time and still have events, oldest first. */
    async runsWithOldEvents(before: string, limit: number): Promise<string[]> {
      const rows = await db
        .selectFrom('runs')
        .select('run_id')
        .where('finished_at', '<', before)
        .where('events_deleted_at', 'is', null)
        .orderBy('finished_at')
        .limit(limit)
        .execute();
      return rows.map((row) => row.run_id);
    },

    /** Reads runs that finished before a time, except the newest run of a ticket and runs that it needs. */
    async oldRuns(before: string, limit: number): Promise<string[]> {
      const rows = await db
        .selectFrom('runs')
        .select('run_id')
        .where('finished_at', '<', before)
        .where((eb) => eb.exists(newerRuns(eb)))
        .where((eb) => eb.not(isNeeded(eb)))
        .orderBy('finished_at')
        .limit(limit)
        .execute();
      return rows.map((row) => row.run_id);
    },

    /** Reads finished runs beyond the newest `kept` of their ticket, except runs that the ticket needs. */
    async surplusRuns(kept: number, limit: number): Promise<string[]> {
      const ranked = db
        .selectFrom('runs')
        .select((eb) => [
          'run_id',
          eb.fn
            .agg<number>('row_number')
            .over((over) => over.partitionBy('ticket_key').orderBy('run_id', 'desc'))
            .as('rank'),
        ])
        .where('state', 'in', TERMINAL_STATES);
      const rows = await db
        .selectFrom('runs')
        .innerJoin(ranked.as('ranked'), 'ranked.run_id', 'runs.run_id')
        .select('runs.run_id')
        .where('ranked.rank', '>', kept)
        .where((eb) => eb.not(isNeeded(eb)))
        .limit(limit)
        .execute();
      return rows.map((row) => row.run_id);
    },

    /** Reads the tickets without activity since a time, the least recently used first. */
    async idleTickets(since: string): Promise<string[]> {
      const rows = await db
        .selectFrom('tickets')
        .leftJoin('runs', 'runs.ticket_key', 'tickets.ticket_key')
        .select('tickets.ticket_id')
        .where('tickets.state', '=', 'ready')
        .where('tickets.updated_at', '<', since)
        .groupBy(['tickets.ticket_id', 'tickets.updated_at'])
        .having((eb) =>
          eb.and([
            eb(eb.fn.coalesce(eb.fn.max('runs.finished_at'), eb.val('')), '<', since),
            // An open run has no such time.
            eb(eb.fn.count('runs.run_id'), '=', eb.fn.count('runs.finished_at')),
          ]),
        )
        .orderBy((eb) => eb.fn.coalesce(eb.fn.max('runs.finished_at'), 'tickets.updated_at'))
        .execute();
      return rows.map((row) => row.ticket_id);
    },

    /** Reads the repositories of the tickets that have an open run. */
    async busyRepos(): Promise<string[]> {
      const rows = await db
        .selectFrom('tickets')
        .select('repo_url')
        .distinct()
        .innerJoin('runs', 'runs.ticket_key', 'tickets.ticket_key')
        .where('runs.state', 'in', OPEN_STATES)
        .execute();
      return rows.map((row) => row.repo_url);
    },
  };
}

type RunConditions = ExpressionBuilder<Database, 'runs'>;

/** Returns whether the ticket continues from this run: it is the newest run with a conversation, or with a commit. */
function isNeeded(eb: RunConditions) {
  const ofConversation = newerRuns(eb)
    .whereRef('newer.agent', '=', 'runs.agent')
    .where('newer.session_id', 'is not', null);
  return eb.or([
    eb.and([eb('runs.session_id', 'is not', null), eb.not(eb.exists(ofConversation))]),
    eb.and([hasCommit('runs.progress'), eb.not(eb.exists(newerRuns(eb).where(hasCommit('newer.progress'))))]),
  ]);
}

function newerRuns(eb: RunConditions) {
  return eb
    .selectFrom('runs as newer')
    .select('newer.run_id')
    .whereRef('newer.ticket_key', '=', 'runs.ticket_key')
    .whereRef('newer.run_id', '>', 'runs.run_id');
}
