import type { Run, RunError } from '../../schemas/run.ts';
import { type AppError, toAppError } from '../errors/app-error.ts';
import type { RunRow } from '../store/schema.ts';

/** The position of a queued run, and the estimate of its wait. */
export type QueuePosition = Required<Pick<Run, 'queue_position' | 'estimated_wait_s'>>;

/** Converts a stored run to the view that clients see. */
export function toRun(row: RunRow, position?: QueuePosition): Run {
  return {
    run_id: row.run_id,
    ticket_id: row.ticket_id,
    action: row.action,
    ...(row.message === null ? {} : { message: row.message }),
    state: row.state,
    attempt: row.attempt,
    agent: row.agent,
    ...position,
    ...(row.plan_version === null ? {} : { plan_version: row.plan_version }),
    ...(row.budget === null ? {} : { budget: JSON.parse(row.budget) }),
    usage: JSON.parse(row.usage),
    ...(row.result === null ? {} : { result: JSON.parse(row.result) }),
    ...(row.error === null ? {} : { error: JSON.parse(row.error) }),
    created_at: row.created_at,
    ...(row.started_at === null ? {} : { started_at: row.started_at }),
    ...(row.finished_at === null ? {} : { finished_at: row.finished_at }),
  };
}

/** Converts an error to the form of the terminal event and of the run. */
export function toRunError(error: unknown, hidePaths: (text: string) => string): RunError {
  const known: AppError = toAppError(error);
  return {
    code: known.code,
    title: known.title,
    detail: hidePaths(known.message),
    remedy: hidePaths(known.remedy),
    retryable: known.retryable,
  };
}
