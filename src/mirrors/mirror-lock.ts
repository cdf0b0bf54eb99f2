export type MirrorLock = ReturnType<typeof createMirrorLock>;

/**
 * Creates a shared/exclusive lock per mirror. Fetches and checkouts share it; maintenance holds it exclusively. A shared
 * holder never waits for maintenance to finish: it aborts it.
 */
export function createMirrorLock() {
  const sharedHolders = new Map<string, number>();
  const lastUsedAt = new Map<string, number>();
  const exclusiveHolders = new Map<string, { stop: AbortController; done: Promise<unknown> }>();

  return {
    /** Runs a task that reads the mirror or adds to it. */
    async shared<T>(mirror: string, task: () => Promise<T>): Promise<T> {
      sharedHolders.set(mirror, (sharedHolders.get(mirror) ?? 0) + 1);
      try {
        const exclusive = exclusiveHolders.get(mirror);
        exclusive?.stop.abort();
        await exclusive?.done;
        return await task();
      } finally {
        lastUsedAt.set(mirror, Date.now());
        const left = (sharedHolders.get(mirror) ?? 1) - 1;
        if (left > 0) sharedHolders.set(mirror, left);
        else sharedHolders.delete(mirror);
      }
    },

    /**
     * Runs a task that changes the content of the mirror. Its signal is aborted when a shared holder arrives.
     * @returns undefined, without running it, when anybody else holds the lock
     */
    async tryExclusive<T>(mirror: string, task: (signal: AbortSignal) => Promise<T>): Promise<T | undefined> {
      if (sharedHolders.has(mirror) || exclusiveHolders.has(mirror)) return undefined;
      const stop = new AbortController();
      const result = task(stop.signal);
      exclusiveHolders.set(mirror, { stop, done: result.catch(() => {}) });
      try {
        return await result;
      } finally {
        exclusiveHolders.delete(mirror);
      }
    },

    /** Milliseconds since the last shared holder left; 0 while one holds the lock or waits for it. */
    idleMs(mirror: string): number {
      return sharedHolders.has(mirror) ? 0 : Date.now() - (lastUsedAt.get(mirror) ?? 0);
    },
  };
}
