/**
 * Lets at most `limit` tasks run at the same time. Further tasks wait, in the order of their calls.
 * @returns runs a task; throws the reason of the signal when it is aborted while the task waits
 */
export function createLimiter(limit: number) {
  const waiting = new Set<() => void>();
  let running = 0;

  function waitForSlot(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const start = () => {
        stopWaiting();
        resolve();
      };
      const onAbort = () => {
        stopWaiting();
        reject(signal.reason);
      };
      const stopWaiting = () => {
        waiting.delete(start);
        signal.removeEventListener('abort', onAbort);
      };
      waiting.add(start);
      signal.addEventListener('abort', onAbort);
    });
  }

  return async function run<T>(task: () => Promise<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    if (running >= limit) await waitForSlot(signal);
    else running += 1;
    try {
      return await task();
    } finally {
      // Passes the slot to the next task, or frees it.
      const [next] = waiting;
      if (next) next();
      else running -= 1;
    }
  };
}
