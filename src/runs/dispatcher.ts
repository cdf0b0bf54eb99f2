import type { Logger } from '../config/logger.ts';
import type { RunStore } from '../store/runs.ts';
import type { Attempt } from './attempts.ts';

/** Pause after the store failed, or while nothing may be started, in milliseconds. */
const RETRY_MS = 1000;

export type Job = Attempt & { done: Promise<void> };

/**
 * Takes runs from the queue while there is room, and holds those that are under way.
 * @param mayStart whether there is space for new work; queued runs wait until there is
 * @param carryOut one attempt, to its end; never rejects
 */
export function createDispatcher(
  deps: {
    store: { runs: Pick<RunStore, 'claim'> };
    logger: Logger;
    maxAtOnce: number;
    mayStart: () => Promise<boolean>;
  },
  carryOut: (attempt: Attempt) => Promise<void>,
) {
  const { store, logger, maxAtOnce, mayStart } = deps;
  const jobs = new Map<string, Job>();
  let pumping: Promise<void> | undefined;
  let pumpAgain = false;
  let stopping = false;
  let later: NodeJS.Timeout | undefined;
  let holding = false;

  /** Starts queued runs while there is room. */
  function pump(): void {
    // What is under way may have looked at the queue before the caller changed it.
    pumpAgain = true;
    pumping ??= startQueued()
      .catch((error) => {
        logger.error({ err: error }, 'the queue could not be read');
        pumpLater();
      })
      .finally(() => {
        pumping = undefined;
        if (pumpAgain) pump();
      });
  }

  function pumpLater(): void {
    clearTimeout(later);
    later = setTimeout(pump, RETRY_MS).unref();
  }

  /** Whether queued runs must wait; if so, this is looked at again soon. */
  async function mustWait(): Promise<boolean> {
    const hold = !(await mayStart());
    if (hold && !holding) logger.warn({}, 'queued runs wait until there is disk space');
    if (!hold && holding) logger.info({}, 'queued runs are started again');
    holding = hold;
    if (hold) pumpLater();
    return hold;
  }

  async function startQueued(): Promise<void> {
    while (pumpAgain) {
      pumpAgain = false;
      while (!stopping && jobs.size < maxAtOnce) {
        if ((await mustWait()) || stopping) break;
        const row = await store.runs.claim();
        if (row === undefined) break;
        const attempt: Attempt = { row, controller: new AbortController(), leaving: false };
        const job = Object.assign(attempt, { done: carryOut(attempt).finally(() => leave(job)) });
        jobs.set(row.run_id, job);
      }
    }
  }

  function leave(job: Job): void {
    // The next attempt of the same run may be there already.
    if (jobs.get(job.row.run_id) === job) jobs.delete(job.row.run_id);
    pump();
  }

  return {
    pump,

    /** The attempt that is under way at a run. */
    job: (runId: string): Job | undefined => jobs.get(runId),

    isStopping: () => stopping,

    /** Takes no more runs, gives those under way `graceMs` to end, then aborts them for a reason and waits. */
    async stop(graceMs: number, reason: Error): Promise<void> {
      stopping = true;
      clearTimeout(later);
      await pumping;
      const all = Promise.all([...jobs.values()].map((job) => job.done));
      const timer = setTimeout(() => {
        for (const job of jobs.values()) job.controller.abort(reason);
      }, graceMs);
      await all.finally(() => clearTimeout(timer));
    },
  };
}
