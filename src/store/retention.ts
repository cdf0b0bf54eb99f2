import { type Kysely, sql } from 'kysely';
import type { GroupCommit, Write } from './group-commit.ts';
import { createRetentionQueries } from './retention-queries.ts';
import { TERMINAL_STATES } from './run-states.ts';
import type { Database } from './schema.ts';
import { ticketKey } from './tickets.ts';

export type HousekeepingStore = ReturnType<typeof createHousekeepingStore>;

/** Rows that one transaction deletes. A larger one would delay the writers of events. */
const MAX_ROWS = 500;

/** Finds and deletes rows that are past their retention. */
export function createHousekeepingStore(db: Kysely<Database>, commit: GroupCommit) {
  return {
    ...createRetentionQueries(db),

    deleteEvents: (runId: string): Promise<void> => deleteEvents(commit, runId),

    /** Deletes a finished run with its events. */
    async deleteRun(runId: string): Promise<void> {
      await deleteEvents(commit, runId);
      await commit((trx) =>
        trx.deleteFrom('runs').where('run_id', '=', runId).where('state', 'in', TERMINAL_STATES).execute(),
      );
    },

    /** Deletes audit entries older than a time; returns their number. */
    deleteAudit(before: string): Promise<number> {
      return deleteInChunks(commit, async (trx) => {
        const { numDeletedRows } = await trx
          .deleteFrom('audit')
          .where('seq', 'in', (eb) =>
            eb.selectFrom('audit').select('seq').where('time', '<', before).orderBy('seq').limit(MAX_ROWS),
          )
          .executeTakeFirst();
        return Number(numDeletedRows);
      });
    },

    /** Records which workspaces the last clean-up kept, and why. Replaces earlier records. */
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

    /** Truncates the write-ahead log. SQLite reuses the pages of deleted rows. */
    async truncateWal(): Promise<void> {
      await sql`pragma wal_checkpoint(truncate)`.execute(db);
    },
  };
}

/** Deletes the events of a finished run. The run is marked first, so that no reader takes the remaining events for all. */
async function deleteEvents(commit: GroupCommit, runId: string): Promise<void> {
  await commit((trx) =>
    trx
      .updateTable('runs')
      .set((eb) => ({ events_deleted_at: eb.fn.coalesce('events_deleted_at', eb.val(new Date().toISOString())) }))
      .where('run_id', '=', runId)
      .where('state', 'in', TERMINAL_STATES)
      .execute(),
  );
  await deleteInChunks(commit, async (trx) => {
    const { numDeletedRows } = await trx
      .deleteFrom('events')
      .where('run_id', '=', runId)
      .where('seq', 'in', (eb) =>
        eb.selectFrom('events').select('seq').where('run_id', '=', runId).orderBy('seq').limit(MAX_ROWS),
      )
      .executeTakeFirst();
    return Number(numDeletedRows);
  });
}

/** Repeats a deletion of at most `MAX_ROWS` rows until no more are left; returns their number. */
async function deleteInChunks(commit: GroupCommit, deleteChunk: Write<number>): Promise<number> {
  let deleted = 0;
  for (let last = MAX_ROWS; last === MAX_ROWS; deleted += last) last = await commit(deleteChunk);
  return deleted;
}
