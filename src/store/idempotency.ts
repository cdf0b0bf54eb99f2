import type { Selectable, Transaction } from 'kysely';
import { AppError } from '../errors/app-error.ts';
import type { GroupCommit } from './group-commit.ts';
import type { Database, IdempotencyTable, RunTable } from './schema.ts';

export type IdempotencyRow = Selectable<IdempotencyTable>;
export type IdempotencyStore = ReturnType<typeof createIdempotencyStore>;

/** What requests with an Idempotency-Key were answered, or the run that they started. */
export function createIdempotencyStore(commit: GroupCommit) {
  return {
    /**
     * Takes down that a request begins.
     * @param since records from before this time are void
     * @returns the record that an earlier request with this id left, `undefined` when there is none and one was made
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

    /** Keeps the answer; a body of `null` is one that must not be kept. */
    async finish(recordId: string, answer: { status: number; headers: string; body: string | null }): Promise<void> {
      await commit((trx) => trx.updateTable('idempotency').set(answer).where('record_id', '=', recordId).execute());
    },

    /** Forgets a request that came to nothing, so that it may come again; one that started a run did not. */
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

    /** Removes the records from before a time; tells how many. */
    async deleteBefore(before: string): Promise<number> {
      const { numDeletedRows } = await commit((trx) =>
        trx.deleteFrom('idempotency').where('created_at', '<', before).executeTakeFirstOrThrow(),
      );
      return Number(numDeletedRows);
    },
  };
}

/**
 * The run that a request with this record started before.
 * @throws AppError `run_not_found` when it is gone: it is never started a second time
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
  throw new AppError('run_not_found', `The run ${record.run_id} that this Idempotency-Key started is gone.`);
}

/** Ties a run to the request that starts it, in the transaction that makes the run. */
export async function recordRun(trx: Transaction<Database>, recordId: string, runId: string): Promise<void> {
  await trx.updateTable('idempotency').set({ run_id: runId }).where('record_id', '=', recordId).execute();
}
