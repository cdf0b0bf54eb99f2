import type { Config } from '../config/load-config.ts';
import type { Logger } from '../config/logger.ts';
import { AppError } from '../errors/app-error.ts';
import type { EventLog } from '../events/event-log.ts';
import type { RunStore } from '../store/runs.ts';
import type { RunRow } from '../store/schema.ts';
import { canceled, failRun } from './cancellation.ts';
import { nextAttempt } from './outcomes.ts';
import { retryUntilPersisted } from './retry-write.ts';

type RecoveryContext = {
  config: Pick<Config, 'RUN_MAX_ATTEMPTS'>;
  store: { runs: RunStore };
  log: EventLog;
  hidePaths: (text: string) => string;
  logger: Logger;
  stopping: AbortSignal;
};

/** Requeues or finishes the runs that were active when the last server exited. */
export async function recoverRuns(context: RecoveryContext): Promise<void> {
  for (const row of await context.store.runs.cutShort()) {
    const logger = context.logger.child({ run_id: row.run_id, ticket_id: row.ticket_id });
    await retryUntilPersisted(() => recoverRun(context, row), context.stopping, logger);
  }
}

async function recoverRun(context: RecoveryContext, row: RunRow): Promise<void> {
  if (row.cancel_requested_at !== null) return failRun(context, row, canceled());
  const change = nextAttempt(row, 'server restart', context.config.RUN_MAX_ATTEMPTS);
  if (change === undefined) {
    return failRun(context, row, new AppError('interrupted', 'The server stopped during the run.'));
  }
  await context.log.append(row.run_id, row.attempt, [change.event], change.patch);
}
