import { abortable } from '../../concurrency/abortable.ts';
import { createLimiter } from '../../concurrency/limiter.ts';

export type StartScheduler = ReturnType<typeof createStartScheduler>;

/** Schedules starts of agents, each of which takes about one processor core for seconds. Tasks throw like those of a limiter. */
export function createStartScheduler(cores: number) {
  const foregroundLimit = createLimiter(cores);
  const backgroundLimit = createLimiter(1);
  let foregroundStarts = 0;
  let quiet = Promise.withResolvers<void>();

  return {
    /** Runs a start that a run waits for, as many at once as there are cores. */
    async foreground<T>(task: () => Promise<T>, signal: AbortSignal): Promise<T> {
      foregroundStarts += 1;
      try {
        return await foregroundLimit(task, signal);
      } finally {
        foregroundStarts -= 1;
        if (foregroundStarts === 0) {
          quiet.resolve();
          quiet = Promise.withResolvers();
        }
      }
    },

    /** Runs a start that no run waits for, one at a time, and only while there is no foreground start. */
    background<T>(task: () => Promise<T>, signal: AbortSignal): Promise<T> {
      return backgroundLimit(async () => {
        while (foregroundStarts > 0) await abortable(quiet.promise, signal);
        signal.throwIfAborted();
        return task();
      }, signal);
    },
  };
}
