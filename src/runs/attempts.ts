import type { RunResult } from '../../schemas/run.ts';
import { AppError, toAppError } from '../errors/app-error.ts';
import type { RunRow } from '../store/schema.ts';
import { actions } from './actions.ts';
import { type Outcome, requeue, terminalChange } from './outcomes.ts';
import { retryUntilPersisted } from './retry-write.ts';
import type { AttemptDeps } from './run-context.ts';
import { timeLimit, timeLimitExceeded } from './run-limits.ts';
import { createRunWriter, type RunWriter } from './run-writer.ts';

const NO_SANDBOX = 'SANDBOX=none: the agent runs without isolation, with all rights of the server on this machine.';

/** One attempt at a run, from its claim. */
export type Attempt = {
  row: RunRow;
  controller: AbortController;
  /** The outcome is decided and being persisted: an abort has no effect. */
  finalizing: boolean;
};

/** Executes an attempt. Afterwards its run has finished, or is queued for the next attempt. Never rejects. */
export async function executeAttempt(deps: AttemptDeps, attempt: Attempt): Promise<void> {
  const { store, config } = deps;
  const { row, controller } = attempt;
  // A store that fails to read also fails to append, so the first event fails the attempt.
  const written = row.attempt === 1 ? 0 : await store.events.size(row.run_id).catch(() => 0);
  const writer = createRunWriter(deps, row, written, (error) => controller.abort(error));
  const timeLeftMs = Math.max(0, timeLimit(config, row).limit * 1000 - writer.spentMs());
  const timeout = setTimeout(() => controller.abort(timeLimitExceeded(config, row)), timeLeftMs);
  const { signal } = controller;
  let outcome: Outcome;
  try {
    outcome = { result: await executeAction(deps, row, writer, signal) };
  } catch (error) {
    outcome = { error: signal.aborted ? signal.reason : error };
  } finally {
    clearTimeout(timeout);
  }
  await writer.close();
  attempt.finalizing = true;
  // A cancellation after the agent crashed still counts: the run must not be requeued.
  if ('error' in outcome && signal.aborted && toAppError(signal.reason).code === 'canceled') {
    outcome = { error: signal.reason };
  }
  await persistOutcome(deps, row, writer, outcome);
}

async function executeAction(
  deps: AttemptDeps,
  run: RunRow,
  writer: RunWriter,
  signal: AbortSignal,
): Promise<RunResult> {
  const ticket = await deps.store.tickets.get(run.ticket_id);
  if (deps.sandbox.kind === 'none') writer.emit({ type: 'log', data: { level: 'warn', text: NO_SANDBOX } });
  if (ticket === undefined) throw new AppError('ticket_not_found', 'The ticket was deleted.');
  return actions[run.action](deps, { run, ticket, writer, signal });
}

async function persistOutcome(deps: AttemptDeps, row: RunRow, writer: RunWriter, outcome: Outcome): Promise<void> {
  const { config, log, sandbox, hidePaths, stopping } = deps;
  const { run_id, ticket_id, action } = row;
  const unconfined = sandbox.kind === 'none' ? { sandbox: sandbox.kind } : {};
  const logger = deps.logger.child({ run_id, ticket_id, ...unconfined });
  const duration_ms = Math.round(writer.spentMs());
  const { progress, usage } = writer;
  const change =
    requeue(row, outcome, config.RUN_MAX_ATTEMPTS) ??
    terminalChange(outcome, { action, progress, usage }, duration_ms, hidePaths);
  const write = () => log.append(run_id, row.attempt, [change.event], { ...change.patch, duration_ms });
  if (!(await retryUntilPersisted(write, stopping, logger))) return;
  const { state } = change.patch;
  logger.info({ state, action, duration_ms }, state === 'queued' ? 'run requeued' : 'run finished');
  if ('error' in outcome && toAppError(outcome.error).code === 'internal') {
    logger.error({ err: outcome.error }, 'run failed unexpectedly');
  }
}
