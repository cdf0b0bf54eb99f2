import type { Run } from '../../schemas/run.ts';
import { createPathHider } from '../config/hide-paths.ts';
import { AppError } from '../errors/app-error.ts';
import { executeAttempt } from './attempts.ts';
import { cancelRun, cancelRunsOfTicket } from './cancellation.ts';
import { createDispatcher } from './dispatcher.ts';
import { createQueueEstimates } from './queue-estimates.ts';
import { recoverRuns } from './recovery.ts';
import type { AttemptDeps } from './run-context.ts';
import { createRunQueries } from './run-queries.ts';
import { type SubmitRequest, submitRun } from './submission.ts';

export type RunEngine = ReturnType<typeof createRunEngine>;

type EngineDeps = Omit<AttemptDeps, 'hidePaths' | 'stopping'> & {
  /** Returns whether new work may start; if not, queued runs wait. */
  canStart: () => Promise<boolean>;
};

/**
 * Creates the engine of runs: commands to an agent, each executed in one or more attempts. The states of a run and their transitions:
 *
 *     (none)  → queued     `submit` (`run.queued`)
 *     queued  → running    the dispatcher claims the run and increments `attempt` (`run.started`)
 *     running → waiting    the agent requests a permission (`run.waiting`)
 *     waiting → running    all requested permissions are resolved (`run.resumed`)
 *     active  → queued     requeue: the agent crashed or the server stopped, and attempts are left (`run.resumed`)
 *     active  → succeeded  the action returned a result (`run.succeeded`)
 *     active  → failed     the action failed, or its last attempt was interrupted (`run.failed`)
 *     active  → timed_out  a time limit expired (`run.timed_out`)
 *     active  → canceled   `cancel` aborted the attempt (`run.canceled`)
 *     queued  → canceled   `cancel` (`run.canceled`)
 *
 * An active run is `running` or `waiting`; the last four states are final. The attempt number is the fence of all writes:
 * once the run is requeued and claimed again, or final, the store rejects writes of the old attempt with a FencedError.
 */
export function createRunEngine(deps: EngineDeps) {
  const { config, store, logger, canStart } = deps;
  const estimates = createQueueEstimates(store.runs, config.MAX_CONCURRENT_RUNS);
  const queries = createRunQueries(store.runs, estimates);
  const stopping = new AbortController();
  const attemptDeps = { ...deps, hidePaths: createPathHider(config), stopping: stopping.signal };
  const dispatcher = createDispatcher(
    { runs: store.runs, logger, maxConcurrent: config.MAX_CONCURRENT_RUNS, canStart, stopping: stopping.signal },
    (attempt) => executeAttempt(attemptDeps, attempt),
  );
  const context = { ...attemptDeps, dispatcher, estimates, queries };
  const { row, get, list, views } = queries;

  return {
    row,
    get,
    list,
    views,

    /**
     * Queues a run.
     * @throws AppError `message_required`, `agent_not_found`, `ticket_not_found`, `ticket_busy`, `too_many_runs`, `queue_full`, `shutting_down`
     */
    submit: (request: SubmitRequest): Promise<Run> => submitRun(context, request),

    /**
     * Cancels a run: a queued one at once, an active one as soon as its agent and its git commands have exited.
     * @throws AppError `run_not_found`, `run_finished`
     */
    cancel: (runId: string): Promise<Run> => cancelRun(context, runId),

    /** Cancels every run of a ticket; resolves when none is active. */
    cancelTicket: (ticketId: string): Promise<void> => cancelRunsOfTicket(context, ticketId),

    /** Recovers the runs of the last server and starts the dispatcher. */
    async start(): Promise<void> {
      await recoverRuns(context);
      dispatcher.dispatch();
    },

    /** Claims no more runs, gives the active ones `graceMs` to finish, then requeues them for the next start. */
    async stop(graceMs: number): Promise<void> {
      stopping.abort();
      await dispatcher.drain(graceMs, new AppError('interrupted', 'The server was stopped during the run.'));
    },
  };
}
