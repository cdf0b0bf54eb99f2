import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from '../config/logger.ts';

const RETRY_INTERVAL_MS = 1000;

export type RetryInBackground = (ticketId: string, work: () => Promise<void>, closing: AbortSignal) => void;

/**
 * Retries work without which a ticket would stay half created or half deleted, until it succeeds or the server stops. The
 * next start of the server finishes it then.
 */
export function createBackgroundRetry(logger: Logger): RetryInBackground {
  return function retry(ticketId, work, closing) {
    pause(RETRY_INTERVAL_MS, undefined, { signal: closing })
      .then(work)
      .catch((err) => {
        if (closing.aborted) return;
        logger.warn({ err, ticket_id: ticketId }, 'ticket is half created or half deleted, retrying');
        retry(ticketId, work, closing);
      });
  };
}
