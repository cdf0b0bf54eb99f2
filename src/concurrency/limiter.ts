/**
 * Creates a function that runs at most `limit` tasks at once. Other tasks wait, first in, first out.
 * @returns runs a task; throws the signal's reason when the signal is aborted while the task waits
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
      // A waiting task takes over the slot.
      const [next] = waiting;
      if (next) next();
      else running -= 1;
    }
  };
}
