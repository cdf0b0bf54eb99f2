import { setImmediate as turn } from 'node:timers/promises';
import type { Kysely, Transaction } from 'kysely';
import { measurements, secondsSince } from '../telemetry/measurements.ts';
import type { Database } from './schema.ts';

export type Write<T> = (trx: Transaction<Database>) => Promise<T>;

/**
 * Runs a write; resolves when it is durable.
 * @param tell is told of it at that moment, in the order of the writes; it must not throw
 */
export type GroupCommit = <T>(write: Write<T>, tell?: (value: T) => void) => Promise<T>;

type Entry = { run: (trx: Transaction<Database>) => Promise<void>; settle: () => void; fail: (error: unknown) => void };

/**
 * Puts all writes that arrive in one turn of the event loop, or while the last transaction was committing, into one
 * transaction: one fsync serves many writers, and a single one does not wait longer. Writes keep their order of arrival.
 */
export function createGroupCommit(db: Kysely<Database>): GroupCommit {
  let queue: Entry[] = [];
  let draining = false;

  async function drain(): Promise<void> {
    draining = true;
    while (queue.length > 0) {
      // SQLite answers at once: without a turn, the first of many would have committed before the next is heard.
      await turn();
      const batch = queue;
      queue = [];
      const begun = performance.now();
      try {
        await db.transaction().execute(async (trx) => {
          for (const entry of batch) await entry.run(trx);
        });
        measurements.emit('commit', { writes: batch.length, seconds: secondsSince(begun) });
        for (const entry of batch) entry.settle();
      } catch {
        // One of them failed and took the others along: each gets its own transaction and its own verdict.
        for (const entry of batch) {
          await db.transaction().execute(entry.run).then(entry.settle, entry.fail);
        }
      }
    }
    draining = false;
  }

  return (write, tell) =>
    new Promise((resolve, reject) => {
      let settle = () => {};
      queue.push({
        run: async (trx) => {
          const value = await write(trx);
          settle = () => {
            tell?.(value);
            resolve(value);
          };
        },
        settle: () => settle(),
        fail: reject,
      });
      if (!draining) void drain();
    });
}
