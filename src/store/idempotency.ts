import type { Selectable, Transaction } from 'kysely';
import { AppError } from '../errors/app-error.ts';
import type { GroupCommit } from './group-commit.ts';
import type { Database, IdempotencyTable, RunTable } from './schema.ts';

export type IdempotencyRow = Selectable<IdempotencyTable>;
export type IdempotencyStore = ReturnType<typeof createIdempotencyStore>;

/** Stores the answers to requests with an Idempotency-Key, and the runs that they started. */
export function createIdempotencyStore(commit: GroupCommit) {
  return {
    /**
     * Records the start of a request.
     * @param since records older than this time are void
     * @returns the record of an earlier request with this id; `undefined` for the first request
     */
    begin(recordId: string, fingerprint: string, since: string): Promise<IdempotencyRow | undefined> {
      return commit(async (trx) => {
        const known = await trx
          .selectFrom('idempotency')
          .selectAll()
          .where('record_id', '=', recordId)
          .where('created_at', '>=', since)
          .executeTakeFirst();
        if (known !== undefined) return known;
        const empty = { run_id: null, status: null, headers: null, body: null };
        const row = { fingerprint, created_at: new Date().toISOString(), ...empty };
        await trx
          .insertInto('idempotency')
          .values({ record_id: recordId, ...row })
          .onConflict((conflict) => conflict.column('record_id').doUpdateSet(row))
          .execute();
        return undefined;
      });
    },

    /** Stores the answer. `body` is `null` when it must not be stored. */
    async finish(recordId: string, answer: { status: number; headers: string; body: string | null }): Promise<void> {
      await commit((trx) => trx.updateTable('idempotency').set(answer).where('record_id', '=', recordId).execute());
    },

    /** Deletes the record of a request that had no effect, so that the client can repeat it. Keeps it when a run exists. */
    async release(recordId: string): Promise<void> {
      await commit((trx) =>
        trx
          .deleteFrom('idempotency')
          .where('record_id', '=', recordId)
          .where('run_id', 'is', null)
          .where('status', 'is', null)
          .execute(),
      );
    },

    /** Deletes the records older than a time; returns their number. */
    async deleteBefore(time: string): Promise<number> {
      const { numDeletedRows } = await commit((trx) =>
        trx.deleteFrom('idempotency').where('created_at', '<', time).executeTakeFirstOrThrow(),
      );
      return Number(numDeletedRows);
    },
  };
}

/**
 * Finds the run that an earlier request with this record started.
 * @throws AppError `run_not_found` when that run was deleted: a request never starts a second run
 */
export async function findRecordedRun(
  trx: Transaction<Database>,
  recordId: string,
): Promise<Selectable<RunTable> | undefined> {
  const record = await trx
    .selectFrom('idempotency')
    .select('run_id')
    .where('record_id', '=', recordId)
    .executeTakeFirst();
  if (record === undefined || record.run_id === null) return undefined;
  const run = await trx.selectFrom('runs').selectAll().where('run_id', '=', record.run_id).executeTakeFirst();
  if (run !== undefined) return run;
  throw new AppError(
    'run_not_found',
    `The request with this Idempotency-Key started run ${record.run_id}, which was deleted.`,
  );
}

/** Records which run a request started, in the transaction that inserts the run. */
export async function recordRun(trx: Transaction<Database>, recordId: string, runId: string): Promise<void> {
  await trx.updateTable('idempotency').set({ run_id: runId }).where('record_id', '=', recordId).execute();
}
