import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Kysely, Transaction } from 'kysely';
import { measurements, secondsSince } from '../telemetry/measurements.ts';
import type { Database } from './schema.ts';

export type Write<T> = (trx: Transaction<Database>) => Promise<T>;

/**
 * Runs a write and resolves once it is durable.
 * @param onDurable receives the result at that moment, in the order of the writes; must not throw
 */
export type GroupCommit = <T>(write: Write<T>, onDurable?: (value: T) => void) => Promise<T>;

type Entry = {
  run: (trx: Transaction<Database>) => Promise<void>;
  resolve: () => void;
  reject: (error: unknown) => void;
};

/**
 * Puts all writes that arrive in one turn of the event loop, or during the previous commit, into one transaction. One fsync
 * serves many writers, and a single writer does not wait longer. Writes keep their order of arrival.
 */
export function createGroupCommit(db: Kysely<Database>): GroupCommit {
  let queue: Entry[] = [];
  let draining = false;

  async function drain(): Promise<void> {
    draining = true;
    while (queue.length > 0) {
      // SQLite is synchronous: without this turn, the first of many writes would commit alone.
      await nextTurn();
      const batch = queue;
      queue = [];
      const begun = performance.now();
      try {
        await db.transaction().execute(async (trx) => {
          for (const entry of batch) await entry.run(trx);
        });
        measurements.emit('commit', { writes: batch.length, seconds: secondsSince(begun) });
        for (const entry of batch) entry.resolve();
      } catch {
        // One failed write rolled all of them back. Each retries in a separate transaction.
        for (const entry of batch) {
          await db.transaction().execute(entry.run).then(entry.resolve, entry.reject);
        }
      }
    }
    draining = false;
  }

  return (write, onDurable) =>
    new Promise((resolve, reject) => {
      let resolveWithValue = () => {};
      queue.push({
        run: async (trx) => {
          const value = await write(trx);
          resolveWithValue = () => {
            onDurable?.(value);
            resolve(value);
          };
        },
        resolve: () => resolveWithValue(),
        reject,
      });
      if (!draining) void drain();
    });
}
