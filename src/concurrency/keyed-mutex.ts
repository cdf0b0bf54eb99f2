import { abortable } from './abortable.ts';

/** Runs what is given for a key one at a time, in the order of the calls; a caller may stop waiting. */
export type KeyedMutex = <T>(key: string, signal: AbortSignal | undefined, work: () => Promise<T>) => Promise<T>;

export function createKeyedMutex(): KeyedMutex {
  const tails = new Map<string, Promise<void>>();

  return async (key, signal, work) => {
    const before = tails.get(key) ?? Promise.resolve();
    const { promise: done, resolve } = Promise.withResolvers<void>();
    // Who stops waiting is no longer waited for, but those before are.
    const tail = before.then(() => done);
    tails.set(key, tail);
    try {
      await abortable(before, signal);
      return await work();
    } finally {
      resolve();
      void tail.then(() => tails.get(key) === tail && tails.delete(key));
    }
  };
}
