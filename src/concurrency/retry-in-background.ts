import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from '../config/logger.ts';

/** Pause after the store or a folder could not be changed, in milliseconds. */
const RETRY_MS = 1000;

export type BackgroundRetry = (ticketId: string, work: () => Promise<void>, closing: AbortSignal) => void;

/** Work without which a ticket would stay half created or half removed: until it works, or the next start does it. */
export function createBackgroundRetry(logger: Logger): BackgroundRetry {
  return function retryInBackground(ticketId, work, closing) {
    pause(RETRY_MS, undefined, { signal: closing })
      .then(work)
      .catch((err) => {
        if (closing.aborted) return;
        logger.warn({ err, ticket_id: ticketId }, 'a ticket is half created or half removed; this is tried again');
        retryInBackground(ticketId, work, closing);
      });
  };
}
