import { type ExpressionBuilder, type Kysely, sql } from 'kysely';
import type { GroupCommit } from './group-commit.ts';
import { ACTIVE_STATES } from './queue.ts';
import { hasCommit, TERMINAL_STATES } from './runs.ts';
import type { Database } from './schema.ts';
import { ticketKey } from './tickets.ts';

export type HousekeepingStore = ReturnType<typeof createHousekeepingStore>;

/** Rows that one transaction deletes: it must not hold the writers of events up. */
const CHUNK = 500;

/** What retention asks of the store, and what it deletes, in small pieces. Times are RFC 3339. */
export function createHousekeepingStore(db: Kysely<Database>, commit: GroupCommit) {
  /** Deletes the events of a run that has ended; from the first one on it is said that they are gone. */
  async function deleteEvents(runId: string): Promise<void> {
    await commit((trx) =>
      trx
        .updateTable('runs')
        .set((eb) => ({ events_deleted_at: eb.fn.coalesce('events_deleted_at', eb.val(new Date().toISOString())) }))
        .where('run_id', '=', runId)
        .where('state', 'in', TERMINAL_STATES)
        .execute(),
    );
    for (let deleted = CHUNK; deleted === CHUNK; ) {
      const result = await commit((trx) =>
        trx
          .deleteFrom('events')
          .where('run_id', '=', runId)
          .where('seq', 'in', (eb) =>
            eb.selectFrom('events').select('seq').where('run_id', '=', runId).orderBy('seq').limit(CHUNK),
          )
          .executeTakeFirst(),
      );
      deleted = Number(result.numDeletedRows);
    }
  }

  return {
    deleteEvents,

    /** Runs whose events a server that was killed deleted in part. */
    async runsWithEventsLeft(): Promise<string[]> {
      const rows = await db
        .selectFrom('runs')
        .select('run_id')
        .where('events_deleted_at', 'is not', null)
        .where((eb) => eb.exists(eb.selectFrom('events').select('seq').whereRef('events.run_id', '=', 'runs.run_id')))
        .execute();
      return rows.map((row) => row.run_id);
    },

    /** Ended runs whose events are to go, the oldest first. */
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

    /** Ended runs that are to go: old ones, but for the newest of a ticket and those that it needs. */
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

    /** Ended runs beyond the newest `kept` ones of their ticket, but for those that it needs. */
    async surplusRuns(kept: number, limit: number): Promise<string[]> {
      const ranked = db
        .selectFrom('runs')
        .select((eb) => [
          'run_id',
          eb.fn
            .agg<number>('row_number')
            .over((over) => over.partitionBy('ticket_key').orderBy('run_id', 'desc'))
            .as('place'),
        ])
        .where('state', 'in', TERMINAL_STATES);
      const rows = await db
        .selectFrom('runs')
        .innerJoin(ranked.as('ranked'), 'ranked.run_id', 'runs.run_id')
        .select('runs.run_id')
        .where('place', '>', kept)
        .where((eb) => eb.not(isNeeded(eb)))
        .limit(limit)
        .execute();
      return rows.map((row) => row.run_id);
    },

    /** Deletes an ended run with its events. */
    async deleteRun(runId: string): Promise<void> {
      await deleteEvents(runId);
      await commit((trx) =>
        trx.deleteFrom('runs').where('run_id', '=', runId).where('state', 'in', TERMINAL_STATES).execute(),
      );
    },

    /** Deletes old entries of the audit log. Tells how many. */
    async deleteAudit(before: string): Promise<number> {
      let deleted = 0;
      for (let last = CHUNK; last === CHUNK; deleted += last) {
        const result = await commit((trx) =>
          trx
            .deleteFrom('audit')
            .where('seq', 'in', (eb) =>
              eb.selectFrom('audit').select('seq').where('time', '<', before).orderBy('seq').limit(CHUNK),
            )
            .executeTakeFirst(),
        );
        last = Number(result.numDeletedRows);
      }
      return deleted;
    },

    /** Tickets that nobody has worked with since a time, the longest unused first. */
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
            // A run that has not ended has no such time.
            eb(eb.fn.count('runs.run_id'), '=', eb.fn.count('runs.finished_at')),
          ]),
        )
        .orderBy((eb) => eb.fn.coalesce(eb.fn.max('runs.finished_at'), 'tickets.updated_at'))
        .execute();
      return rows.map((row) => row.ticket_id);
    },

    /** Notes which workspaces were left where they are, and why; what was noted before is over. */
    async recordKeptWorkspaces(kept: readonly { ticket_id: string; reason: string }[]): Promise<void> {
      await commit(async (trx) => {
        await trx
          .updateTable('tickets')
          .set({ workspace_kept: null })
          .where('workspace_kept', 'is not', null)
          .execute();
        for (const { ticket_id, reason } of kept) {
          await trx
            .updateTable('tickets')
            .set({ workspace_kept: reason })
            .where('ticket_key', '=', ticketKey(ticket_id))
            .execute();
        }
      });
    },

    /** Repositories of the tickets that have a run which has not ended. */
    async busyRepos(): Promise<string[]> {
      const rows = await db
        .selectFrom('tickets')
        .select('repo_url')
        .distinct()
        .innerJoin('runs', 'runs.ticket_key', 'tickets.ticket_key')
        .where('runs.state', 'in', ['queued', ...ACTIVE_STATES])
        .execute();
      return rows.map((row) => row.repo_url);
    },

    /** Gives the log of writes back to the file system. The pages of what was deleted are used again. */
    async truncateWal(): Promise<void> {
      await sql`pragma wal_checkpoint(truncate)`.execute(db);
    },
  };
}

type RunConditions = ExpressionBuilder<Database, 'runs'>;

/** Whether a run of `runs` is what its ticket goes on from: the newest that names the conversation, or that committed. */
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
