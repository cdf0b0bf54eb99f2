import type { EventDraft } from '../../schemas/event.ts';
import type { Action, RunResult, Usage } from '../../schemas/run.ts';
import { AppError, toAppError } from '../errors/app-error.ts';
import type { RunPatch } from '../store/runs.ts';
import type { RunRow } from '../store/schema.ts';
import { toRunError } from './run-view.ts';
import type { Progress } from './run-writer.ts';

/** An event and the changes of the run that are persisted with it. */
export type Change = { event: EventDraft; patch: RunPatch };

export type Outcome = { result: RunResult } | { error: unknown };

/** Causes of a requeue, by error code: these errors interrupt an attempt and say nothing about the run itself. */
const REQUEUE_CAUSES: Readonly<Record<string, string>> = { interrupted: 'server stop', agent_crashed: 'agent crash' };

/** Errors that stop a run anywhere; their details alone do not describe where its work is. */
const ABORT_CODES: ReadonlySet<string> = new Set(['canceled', 'timed_out', 'interrupted']);

/** Returns the terminal event of a run, and its last changes. */
export function terminalChange(
  outcome: Outcome,
  run: { action: Action; progress: Progress; usage: Usage },
  duration_ms: number,
  hidePaths: (text: string) => string,
): Change {
  const { usage } = run;
  const finished_at = new Date().toISOString();
  if ('result' in outcome) {
    const { result } = outcome;
    return {
      event: { type: 'run.succeeded', data: { result, usage, duration_ms } },
      patch: { state: 'succeeded', result: JSON.stringify(result), finished_at, duration_ms },
    };
  }
  const error = toRunError(withProgress(outcome.error, run.action, run.progress), hidePaths);
  const state = error.code === 'canceled' || error.code === 'timed_out' ? error.code : 'failed';
  return {
    event: { type: `run.${state}`, data: { error, usage, duration_ms } },
    patch: { state, error: JSON.stringify(error), finished_at, duration_ms },
  };
}

/**
 * Requeues a run whose attempt was interrupted.
 * @returns undefined when the outcome is final, or `maxAttempts` attempts have started
 */
export function requeue(row: RunRow, outcome: Outcome, maxAttempts: number): Change | undefined {
  if (!('error' in outcome)) return undefined;
  const { code, message } = toAppError(outcome.error);
  const cause = REQUEUE_CAUSES[code];
  return cause === undefined ? undefined : nextAttempt(row, cause, maxAttempts, message);
}

/** Returns the change that queues a run for its next attempt; undefined when `maxAttempts` attempts have started. */
export function nextAttempt(row: RunRow, cause: string, maxAttempts: number, detail?: string): Change | undefined {
  if (row.attempt >= maxAttempts) return undefined;
  const attempt = row.attempt + 1;
  const event: EventDraft = { type: 'run.resumed', data: { cause, attempt, ...(detail && { detail }) } };
  return { event, patch: { state: 'queued' } };
}

function withProgress(error: unknown, action: Action, progress: Progress): AppError {
  const known = toAppError(error);
  if (action !== 'dev' || !ABORT_CODES.has(known.code)) return known;
  const { code, message, remedy } = known;
  return new AppError(code, `${message} ${describeProgress(progress)}`, { cause: error, remedy });
}

/** Describes where the work of an aborted `dev` run is. */
function describeProgress({ commit, push, pull }: Progress): string {
  if (commit === undefined) return 'Nothing is committed; changes stay in the workspace.';
  const subject = `Commit ${commit.sha.slice(0, 12)}`;
  if (push === undefined) return `${subject} is on the branch of the ticket, but may not be pushed.`;
  if (pull === undefined) return `${subject} is pushed, but may have no pull request.`;
  return `${subject} is pushed, with pull request ${pull.url}.`;
}
