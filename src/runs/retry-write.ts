import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from '../config/logger.ts';
import { FencedError } from '../store/runs.ts';

/** Pause after the store failed, in milliseconds. */
const RETRY_MS = 1000;

/**
 * Repeats a write of a run without which its ticket would be blocked, until it works: a full disk passes.
 * @returns whether it was written: not when another attempt has taken over, or the server stops, whose next start finds
 * the run as it is
 */
export async function untilWritten(
  write: () => Promise<unknown>,
  { isStopping, logger }: { isStopping: () => boolean; logger: Logger },
): Promise<boolean> {
  for (;;) {
    try {
      await write();
      return true;
    } catch (error) {
      if (error instanceof FencedError) {
        logger.warn({}, 'the run was taken over, ended or removed meanwhile');
        return false;
      }
      logger.error({ err: error }, 'what becomes of the run could not be recorded');
      if (isStopping()) return false;
      await pause(RETRY_MS);
    }
  }
}
