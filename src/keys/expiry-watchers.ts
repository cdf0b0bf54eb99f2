/** Longest delay that `setTimeout` accepts. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Callbacks by id, for the moment when a key or a session becomes invalid. */
export function createExpiryWatchers() {
  const callbacks = new Map<string, Set<() => void>>();
  return {
    notify(id: string): void {
      for (const callback of callbacks.get(id) ?? []) callback();
    },

    /**
     * Calls back on `notify(id)` and at the time of expiry.
     * @returns stops the calls
     */
    watch(id: string, expiresAt: string | null | undefined, callback: () => void): () => void {
      const own = callbacks.get(id) ?? new Set();
      callbacks.set(id, own.add(callback));
      const left = expiresAt ? Date.parse(expiresAt) - Date.now() : Number.POSITIVE_INFINITY;
      const timer = left <= MAX_TIMER_MS ? setTimeout(callback, left) : undefined;
      return () => {
        clearTimeout(timer);
        own.delete(callback);
        if (own.size === 0) callbacks.delete(id);
      };
    },
  };
}
