import { abortable } from './abortable.ts';

/** Runs tasks with the same key one at a time, in the order of the calls. An aborted caller stops waiting. */
export type KeyedMutex = <T>(key: string, signal: AbortSignal | undefined, task: () => Promise<T>) => Promise<T>;

export function createKeyedMutex(): KeyedMutex {
  const tails = new Map<string, Promise<void>>();

  return async (key, signal, task) => {
    const before = tails.get(key) ?? Promise.resolve();
    const { promise: done, resolve } = Promise.withResolvers<void>();
    // Later callers still wait for `before` when this one stops waiting.
    const tail = before.then(() => done);
    tails.set(key, tail);
    try {
      await abortable(before, signal);
      return await task();
    } finally {
      resolve();
      void tail.then(() => tails.get(key) === tail && tails.delete(key));
    }
  };
}
