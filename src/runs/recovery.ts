import { AppError } from '../errors/app-error.ts';
import type { RunRow } from '../store/schema.ts';
import { canceled, failRun } from './cancellation.ts';
import { nextAttempt } from './outcomes.ts';
import { retryUntilPersisted } from './retry-write.ts';
import type { AttemptDeps } from './run-context.ts';

/** Requeues or finishes the runs that were active when the last server exited. */
export async function recoverRuns(deps: AttemptDeps): Promise<void> {
  for (const row of await deps.store.runs.listInterrupted()) {
    const logger = deps.logger.child({ run_id: row.run_id, ticket_id: row.ticket_id });
    await retryUntilPersisted(() => recoverRun(deps, row), deps.stopping, logger);
  }
}

async function recoverRun(deps: AttemptDeps, row: RunRow): Promise<void> {
  if (row.cancel_requested_at !== null) return failRun(deps, row, canceled());
  const change = nextAttempt(row, 'server restart', deps.config.RUN_MAX_ATTEMPTS);
  if (change === undefined) {
    return failRun(deps, row, new AppError('interrupted', 'The server stopped during the run.'));
  }
  await deps.log.append(row.run_id, row.attempt, [change.event], change.patch);
}
