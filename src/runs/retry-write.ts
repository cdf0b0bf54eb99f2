import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from '../config/logger.ts';
import { FencedError } from '../store/runs.ts';

const RETRY_INTERVAL_MS = 1000;

/**
 * Retries a write that a run cannot do without until it succeeds: a full disk, for example, recovers.
 * @returns false when the run has a newer attempt, has finished or was deleted, or when the server stops; its next start
 * recovers the run
 */
export async function retryUntilPersisted(
  write: () => Promise<unknown>,
  stopping: AbortSignal,
  logger: Logger,
): Promise<boolean> {
  for (;;) {
    try {
      await write();
      return true;
    } catch (error) {
      if (error instanceof FencedError) {
        logger.warn({}, 'run outcome is void: newer attempt, finished or deleted');
        return false;
      }
      logger.error({ err: error }, 'failed to persist run outcome');
      if (stopping.aborted) return false;
      await pause(RETRY_INTERVAL_MS);
    }
  }
}
