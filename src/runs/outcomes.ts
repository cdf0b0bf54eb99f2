import type { EventDraft } from '../../schemas/event.ts';
import type { Action, RunResult, Usage } from '../../schemas/run.ts';
import { AppError, toAppError } from '../errors/app-error.ts';
import type { RunPatch } from '../store/runs.ts';
import type { RunRow } from '../store/schema.ts';
import { toRunError } from './run-view.ts';
import type { Progress } from './run-writer.ts';

/** An event, and what it changes in the run: written together. */
export type Change = { event: EventDraft; patch: RunPatch };

export type Outcome = { result: RunResult } | { error: unknown };

/** What cuts an attempt short and says nothing about the run itself, by error code: the run begins again. */
const CAUSES: Readonly<Record<string, string>> = { interrupted: 'server stop', agent_crashed: 'agent crash' };

/** After these, nobody reads in the error what became of the work. */
const BROKEN_OFF: ReadonlySet<string> = new Set(['canceled', 'timed_out', 'interrupted']);

/** The terminal event of a run. */
export function ending(
  outcome: Outcome,
  run: { action: Action; progress: Progress; usage: Usage },
  duration_ms: number,
  hidePaths: (text: string) => string,
) {
  const { usage } = run;
  const finished_at = new Date().toISOString();
  if ('result' in outcome) {
    const event: EventDraft = { type: 'run.succeeded', data: { result: outcome.result, usage, duration_ms } };
    const patch: RunPatch = { state: 'succeeded', result: JSON.stringify(outcome.result), finished_at, duration_ms };
    return { event, patch } satisfies Change;
  }
  const error = toRunError(tellWhatIsLeft(outcome.error, run.action, run.progress), hidePaths);
  const state = failureState(error.code);
  const event: EventDraft = { type: `run.${state}`, data: { error, usage, duration_ms } };
  const patch: RunPatch = { state, error: JSON.stringify(error), finished_at, duration_ms };
  return { event, patch } satisfies Change;
}

/**
 * Puts a run whose attempt was cut short back into the queue.
 * @returns undefined when the error is one to be told, or the run was begun `maxAttempts` times
 */
export function beginAgain(row: RunRow, outcome: Outcome, maxAttempts: number): Change | undefined {
  if (!('error' in outcome)) return undefined;
  const { code, message } = toAppError(outcome.error);
  const cause = CAUSES[code];
  return cause === undefined ? undefined : backInQueue(row, cause, maxAttempts, message);
}

/** As `beginAgain`, for a run that is found under way at the start of the server. */
export function backInQueue(row: RunRow, cause: string, maxAttempts: number, detail?: string): Change | undefined {
  if (row.attempt >= maxAttempts) return undefined;
  const attempt = row.attempt + 1;
  const event: EventDraft = { type: 'run.resumed', data: { cause, attempt, ...(detail && { detail }) } };
  return { event, patch: { state: 'queued' } };
}

function tellWhatIsLeft(error: unknown, action: Action, progress: Progress): AppError {
  const known = toAppError(error);
  if (action !== 'dev' || !BROKEN_OFF.has(known.code)) return known;
  return new AppError(known.code, `${known.message} ${whatIsLeft(progress)}`, { cause: error, remedy: known.remedy });
}

/** What was committed stays, and what was not stays in the workspace. */
function whatIsLeft({ commit, push, pull }: Progress): string {
  if (commit === undefined) return 'What was changed is not committed and stays in the workspace.';
  const which = `Commit ${commit.sha.slice(0, 12)}`;
  if (push === undefined) return `${which} stays on the branch of the ticket and is not known to be pushed.`;
  if (pull === undefined) return `${which} is pushed; its pull request is not known to be there.`;
  return `${which} is pushed, with pull request ${pull.url}.`;
}

function failureState(code: string): 'canceled' | 'timed_out' | 'failed' {
  if (code === 'canceled' || code === 'timed_out') return code;
  return 'failed';
}
