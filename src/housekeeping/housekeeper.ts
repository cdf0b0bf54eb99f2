import type { CleanUp } from '../../schemas/housekeeping.ts';
import type { Logger } from '../config/logger.ts';
import { type CleanUpDeps, cleanUp } from './clean-up.ts';
import type { DiskGuard } from './disk-guard.ts';

export type Housekeeper = ReturnType<typeof createHousekeeper>;

const CLEAN_UP_INTERVAL_MS = 3_600_000;
/** Interval while disk space stays low: an earlier clean-up would find nothing new. */
const LOW_DISK_INTERVAL_MS = 300_000;
const CHECK_INTERVAL_MS = 10_000;

/** Cleans up every hour, and more often while disk space is low. Logs when new work is refused, and when no longer. */
export function createHousekeeper(deps: Omit<CleanUpDeps, 'closing'> & { disk: DiskGuard; logger: Logger }) {
  const { disk, logger } = deps;
  const closing = new AbortController();
  let running: Promise<CleanUp> | undefined;
  let finishedAt = Date.now();
  let timer: NodeJS.Timeout | undefined;
  let reportedCode: string | undefined;

  /** Cleans up now. Concurrent callers share one clean-up. */
  function run(): Promise<CleanUp> {
    running ??= cleanUp({ ...deps, closing: closing.signal }).finally(() => {
      running = undefined;
      finishedAt = Date.now();
    });
    return running;
  }

  async function check(): Promise<void> {
    const { freeMb, low, problem } = await disk.check();
    if (problem !== undefined && reportedCode === undefined) {
      logger.error({ free_mb: freeMb, err: problem }, 'refusing new work');
    }
    if (problem === undefined && reportedCode !== undefined)
      logger.info({ free_mb: freeMb }, 'accepting new work again');
    reportedCode = problem?.code;
    const sinceLast = Date.now() - finishedAt;
    if (sinceLast >= CLEAN_UP_INTERVAL_MS || (low && sinceLast >= LOW_DISK_INTERVAL_MS)) await run();
  }

  function schedule(): void {
    timer = setTimeout(() => {
      check()
        .catch((err) => logger.error({ err }, 'clean-up failed'))
        .finally(() => closing.signal.aborted || schedule());
    }, CHECK_INTERVAL_MS).unref();
  }

  return {
    run,
    start: schedule,
    async stop(): Promise<void> {
      closing.abort();
      clearTimeout(timer);
      await running?.catch(() => {});
    },
  };
}
