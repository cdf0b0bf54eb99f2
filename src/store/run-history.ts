import { type Kysely, sql } from 'kysely';
import type { Action } from '../../schemas/run.ts';
import { TERMINAL_STATES } from './run-states.ts';
import type { Database, RunRow } from './schema.ts';
import { ticketKey } from './tickets.ts';

/** Reads of the earlier runs of a ticket or an action. */
export function createRunHistory(db: Kysely<Database>) {
  return {
    async listIds(ticketId: string): Promise<string[]> {
      const rows = await db.selectFrom('runs').select('run_id').where('ticket_key', '=', ticketKey(ticketId)).execute();
      return rows.map((row) => row.run_id);
    },

    /** Reads the newest run of each ticket, by ticket key. */
    async newestByTicket(ticketKeys: readonly string[]): Promise<Map<string, RunRow>> {
      if (ticketKeys.length === 0) return new Map();
      const rows = await db
        .selectFrom('runs')
        .selectAll()
        .where('run_id', 'in', (eb) =>
          eb
            .selectFrom('runs as r')
            .select((e) => e.fn.max('r.run_id').as('run_id'))
            .where('r.ticket_key', 'in', ticketKeys)
            .groupBy('r.ticket_key'),
        )
        .execute();
      return new Map(rows.map((row) => [row.ticket_key, row]));
    },

    /** Reads the newest finished runs of a ticket, the oldest of them first. */
    async recentFinished(ticketId: string, limit: number): Promise<RunRow[]> {
      const rows = await db
        .selectFrom('runs')
        .selectAll()
        .where('ticket_key', '=', ticketKey(ticketId))
        .where('state', 'in', TERMINAL_STATES)
        .orderBy('run_id', 'desc')
        .limit(limit)
        .execute();
      return rows.reverse();
    },

    /** Reads the newest finished run of a ticket that made a commit, or inherited an unpublished one. */
    lastCommitted(ticketId: string): Promise<RunRow | undefined> {
      return db
        .selectFrom('runs')
        .selectAll()
        .where('ticket_key', '=', ticketKey(ticketId))
        .where('state', 'in', TERMINAL_STATES)
        .where(hasCommit('progress'))
        .orderBy('run_id', 'desc')
        .limit(1)
        .executeTakeFirst();
    },

    /** Returns the agent's id of the ticket's conversation, from the newest run that has one. */
    async lastSessionId(ticketId: string, agent: string): Promise<string | undefined> {
      const row = await db
        .selectFrom('runs')
        .select('session_id')
        .where('ticket_key', '=', ticketKey(ticketId))
        .where('agent', '=', agent)
        .where('session_id', 'is not', null)
        .orderBy('run_id', 'desc')
        .executeTakeFirst();
      return row?.session_id ?? undefined;
    },

    /** Returns the durations of the newest finished runs of an action, in seconds from their first start. */
    async recentDurations(action: Action, limit: number): Promise<number[]> {
      const rows = await db
        .selectFrom('runs')
        .select(['started_at', 'finished_at'])
        .where('action', '=', action)
        .where('state', 'in', TERMINAL_STATES)
        .where('started_at', 'is not', null)
        .orderBy('run_id', 'desc')
        .limit(limit)
        .execute();
      // The clock can have been set back in between.
      return rows.map((row) =>
        Math.max(0, (Date.parse(row.finished_at ?? '') - Date.parse(row.started_at ?? '')) / 1000),
      );
    },
  };
}

/** Builds the SQL condition that the progress of a run, in `column`, names a commit. */
export function hasCommit(column: string) {
  return sql<boolean>`json_extract(${sql.ref(column)}, '$.commit') is not null`;
}
