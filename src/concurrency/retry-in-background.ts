import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from '../config/logger.ts';

const RETRY_INTERVAL_MS = 1000;

export type BackgroundRetry = (ticketId: string, task: () => Promise<void>, closing: AbortSignal) => void;

/**
 * Retries a task that completes the creation or the deletion of a ticket, until it succeeds or the server closes. The next
 * start completes it then.
 */
export function createBackgroundRetry(logger: Logger): BackgroundRetry {
  return function retryInBackground(ticketId, task, closing) {
    pause(RETRY_INTERVAL_MS, undefined, { signal: closing })
      .then(task)
      .catch((err) => {
        if (closing.aborted) return;
        logger.warn({ err, ticket_id: ticketId }, 'failed to complete the creation or deletion of a ticket, retrying');
        retryInBackground(ticketId, task, closing);
      });
  };
}
