import type { Logger } from '../config/logger.ts';
import type { RunStore } from '../store/runs.ts';
import type { Attempt } from './attempts.ts';

/** Pause after an error of the store, or while no run may start. */
const RETRY_INTERVAL_MS = 1000;

export type Dispatcher = ReturnType<typeof createDispatcher>;

type RunningAttempt = Attempt & { done: Promise<void> };

/**
 * Claims queued runs and starts their attempts, at most `maxConcurrent` at once.
 * @param execute executes one attempt; never rejects
 */
export function createDispatcher(
  deps: {
    runs: Pick<RunStore, 'claim'>;
    logger: Logger;
    maxConcurrent: number;
    /** Returns whether new work may start; if not, queued runs wait. */
    canStart: () => Promise<boolean>;
    stopping: AbortSignal;
  },
  execute: (attempt: Attempt) => Promise<void>,
) {
  const { runs, logger, maxConcurrent, canStart, stopping } = deps;
  const attempts = new Map<string, RunningAttempt>();
  let dispatching: Promise<void> | undefined;
  let isRequested = false;
  let timer: NodeJS.Timeout | undefined;
  let isPaused = false;

  /** Starts queued runs while there is capacity. Returns at once. */
  function dispatch(): void {
    // A running dispatch may have read the queue before the caller changed it, so it reads it once more.
    isRequested = true;
    dispatching ??= startQueued()
      .catch((error) => {
        logger.error({ err: error }, 'failed to read the queue');
        dispatchLater();
      })
      .finally(() => {
        dispatching = undefined;
        if (isRequested) dispatch();
      });
  }

  function dispatchLater(): void {
    clearTimeout(timer);
    timer = setTimeout(dispatch, RETRY_INTERVAL_MS).unref();
  }

  /** Returns whether queued runs must wait, and checks again later if so. */
  async function mustWait(): Promise<boolean> {
    const wait = !(await canStart());
    if (wait && !isPaused) logger.warn({}, 'queued runs paused: not enough disk space');
    if (!wait && isPaused) logger.info({}, 'queued runs resumed');
    isPaused = wait;
    if (wait) dispatchLater();
    return wait;
  }

  async function startQueued(): Promise<void> {
    while (isRequested) {
      isRequested = false;
      while (!stopping.aborted && attempts.size < maxConcurrent) {
        if ((await mustWait()) || stopping.aborted) break;
        const row = await runs.claim();
        if (row === undefined) break;
        const attempt: Attempt = { row, controller: new AbortController(), finalizing: false };
        const running = Object.assign(attempt, { done: execute(attempt).finally(() => remove(running)) });
        attempts.set(row.run_id, running);
      }
    }
  }

  function remove(attempt: RunningAttempt): void {
    // The next attempt of the same run may have started already.
    if (attempts.get(attempt.row.run_id) === attempt) attempts.delete(attempt.row.run_id);
    dispatch();
  }

  return {
    dispatch,

    /** Returns the running attempt of a run. */
    attemptOf: (runId: string): RunningAttempt | undefined => attempts.get(runId),

    /** Waits for all attempts, to be called after `stopping`. Aborts those that take longer than `graceMs`. */
    async drain(graceMs: number, reason: Error): Promise<void> {
      clearTimeout(timer);
      await dispatching;
      const all = Promise.all([...attempts.values()].map((attempt) => attempt.done));
      const grace = setTimeout(() => {
        for (const attempt of attempts.values()) attempt.controller.abort(reason);
      }, graceMs);
      await all.finally(() => clearTimeout(grace));
    },
  };
}
