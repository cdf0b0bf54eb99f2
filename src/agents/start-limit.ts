import { abortable } from '../git/abortable.ts';

/**
 * Lets at most `limit` tasks run at once; the others wait their turn, first come first served.
 * @returns runs a task; throws the reason of the signal when that is aborted while the task waits
 */
export function createStartLimit(limit: number) {
  const waiting = new Set<() => void>();
  let running = 0;

  function turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const start = () => {
        leave();
        resolve();
      };
      const giveUp = () => {
        leave();
        reject(signal.reason);
      };
      const leave = () => {
        waiting.delete(start);
        signal.removeEventListener('abort', giveUp);
      };
      waiting.add(start);
      signal.addEventListener('abort', giveUp);
    });
  }

  return async function run<T>(task: () => Promise<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    if (running >= limit) await turn(signal);
    else running += 1;
    try {
      return await task();
    } finally {
      // The place goes to the next in line, or back.
      const [next] = waiting;
      if (next) next();
      else running -= 1;
    }
  };
}

export type Starts = ReturnType<typeof createStarts>;

/** Who may start an agent: each start takes about one processor core for seconds. */
export function createStarts(cores: number) {
  const forRuns = createStartLimit(cores);
  const oneByOne = createStartLimit(1);
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
