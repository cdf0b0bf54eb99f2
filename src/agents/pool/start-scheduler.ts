import { abortable } from '../../concurrency/abortable.ts';
import { createLimiter } from '../../concurrency/limiter.ts';

export type Starts = ReturnType<typeof createStarts>;

/** Who may start an agent: each start takes about one processor core for seconds. */
export function createStarts(cores: number) {
  const forRuns = createLimiter(cores);
  const oneByOne = createLimiter(1);
  let underWay = 0;
  let quiet = Promise.withResolvers<void>();

  return {
    /** A start that a run waits for: as many at once as there are cores. Throws like the limit. */
    async now<T>(task: () => Promise<T>, signal: AbortSignal): Promise<T> {
      underWay += 1;
      try {
        return await forRuns(task, signal);
      } finally {
        underWay -= 1;
        if (underWay === 0) {
          quiet.resolve();
          quiet = Promise.withResolvers();
        }
      }
    },

    /** A start that nobody waits for: one at a time, begun only when no run waits for one. Throws like the limit. */
    later<T>(task: () => Promise<T>, signal: AbortSignal): Promise<T> {
      return oneByOne(async () => {
        while (underWay > 0) await abortable(quiet.promise, signal);
        signal.throwIfAborted();
        return task();
      }, signal);
    },
  };
}
