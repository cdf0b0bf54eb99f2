import type { Run, RunError } from '../../schemas/run.ts';
import { type AppError, toAppError } from '../errors/app-error.ts';
import type { RunRow } from '../store/schema.ts';

/** Where a queued run stands. */
export type Place = Required<Pick<Run, 'queue_position' | 'estimated_wait_s'>>;

/** A stored run as clients see it. */
export function toRun(row: RunRow, place?: Place): Run {
  return {
    run_id: row.run_id,
    ticket_id: row.ticket_id,
    action: row.action,
    ...(row.message === null ? {} : { message: row.message }),
    state: row.state,
    attempt: row.attempt,
    agent: row.agent,
    ...place,
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

/** An error as the terminal event and the run show it. */
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
