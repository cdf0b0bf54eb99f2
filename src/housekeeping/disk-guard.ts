import { access, constants } from 'node:fs/promises';
import type { Config } from '../config/load-config.ts';
import { AppError } from '../errors/app-error.ts';
import { diskSpace } from '../files/disk-space.ts';

export type DiskState = {
  /** The least free space of the folders, in MiB. */
  freeMb: number;
  /** Whether clean-up should make room. */
  low: boolean;
  /** What keeps new work out; undefined when there is nothing. */
  problem: AppError | undefined;
};

export type DiskGuard = {
  /** Looks at the file systems now. */
  look(): Promise<DiskState>;
  /** The same for the file system of one folder. */
  lookAt(name: 'DATA_DIR' | 'TICKETS_ROOT'): Promise<DiskState>;
  /** Why new work must not begin, if so: `disk_full` or `storage_unavailable`. While nothing is wrong, what is asked for in one go is one look. */
  problem(): Promise<AppError | undefined>;
};

const MIB = 1024 ** 2;
const RETRY_SECONDS = 60;
/** A request that starts a run asks, and the run right after it, in milliseconds. */
const SAME_LOOK_MS = 20;

/** Watches the free space of DATA_DIR and TICKETS_ROOT: what is under way needs the last of it to end properly. */
export function createDiskGuard(config: Pick<Config, 'DATA_DIR' | 'TICKETS_ROOT' | 'MIN_FREE_DISK_MB'>): DiskGuard {
  const { MIN_FREE_DISK_MB: wanted } = config;

  async function lookAt(name: 'DATA_DIR' | 'TICKETS_ROOT'): Promise<DiskState> {
    const folder = config[name];
    try {
      const { free } = await diskSpace(folder);
      const freeMb = Math.floor(free / MIB);
      await access(folder, constants.W_OK);
      return {
        freeMb,
        low: freeMb < 2 * wanted,
        problem: freeMb < wanted ? tooLittle(name, freeMb, wanted) : undefined,
      };
    } catch (cause) {
      return { freeMb: 0, low: false, problem: unwritable(name, cause) };
    }
  }

  async function look(): Promise<DiskState> {
    const [data, tickets] = await Promise.all([lookAt('DATA_DIR'), lookAt('TICKETS_ROOT')]);
    return {
      freeMb: Math.min(data.freeMb, tickets.freeMb),
      low: data.low || tickets.low,
      problem: data.problem ?? tickets.problem,
    };
  }

  let last: { at: number; state: Promise<DiskState> } | undefined;

  return {
    look,
    lookAt,
    async problem() {
      const now = performance.now();
      if (last === undefined || now - last.at > SAME_LOOK_MS) last = { at: now, state: look() };
      const { problem } = await last.state;
      // What is mended is to be seen at once.
      if (problem !== undefined) last = undefined;
      return problem;
    },
  };
}

function tooLittle(name: string, freeMb: number, wanted: number): AppError {
  return new AppError('disk_full', `${name} has ${freeMb} MiB of free space, and new work needs ${wanted}.`, {
    remedy: `Free space in the file system of ${name}, or lower MIN_FREE_DISK_MB.`,
    retryAfter: RETRY_SECONDS,
  });
}

function unwritable(name: string, cause: unknown): AppError {
  return new AppError('storage_unavailable', `${name} cannot be written.`, {
    cause,
    remedy: `Make the file system of ${name} writable again for the user of the server.`,
    retryAfter: RETRY_SECONDS,
  });
}
