import type { CleanUp } from '../../schemas/housekeeping.ts';
import type { Logger } from '../config/logger.ts';
import { type CleanUpDeps, cleanUp } from './clean-up.ts';
import type { DiskGuard } from './disk-guard.ts';

export type Housekeeper = ReturnType<typeof createHousekeeper>;

const HOUR_MS = 3_600_000;
const LOOK_MS = 10_000;
/** Between two clean-ups of a disk that stays low: what could be removed is. */
const LOW_PAUSE_MS = 300_000;

/** Cleans up every hour, and sooner when the disk gets full; says when it is, and when that is over. */
export function createHousekeeper(deps: Omit<CleanUpDeps, 'closing'> & { disk: DiskGuard; logger: Logger }) {
  const { disk, logger } = deps;
  const closing = new AbortController();
  let underWay: Promise<CleanUp> | undefined;
  let endedAt = Date.now();
  let timer: NodeJS.Timeout | undefined;
  let told: string | undefined;

  /** Cleans up now; who comes while that is under way shares it. */
  function run(): Promise<CleanUp> {
    underWay ??= cleanUp({ ...deps, closing: closing.signal }).finally(() => {
      underWay = undefined;
      endedAt = Date.now();
    });
    return underWay;
  }

  async function look(): Promise<void> {
    const { freeMb, low, problem } = await disk.look();
    if (problem !== undefined && told === undefined) {
      logger.error({ free_mb: freeMb, err: problem }, 'new work is refused');
    }
    if (problem === undefined && told !== undefined) logger.info({ free_mb: freeMb }, 'new work is taken again');
    told = problem?.code;
    const sinceLast = Date.now() - endedAt;
    if (sinceLast >= HOUR_MS || (low && sinceLast >= LOW_PAUSE_MS)) await run();
  }

  function lookLater(): void {
    timer = setTimeout(() => {
      look()
        .catch((err) => logger.error({ err }, 'the clean-up failed'))
        .finally(() => closing.signal.aborted || lookLater());
    }, LOOK_MS).unref();
  }

  return {
    run,
    start: lookLater,
    async stop(): Promise<void> {
      closing.abort();
      clearTimeout(timer);
      await underWay?.catch(() => {});
    },
  };
}
