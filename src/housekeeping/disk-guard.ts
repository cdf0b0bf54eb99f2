import { access, constants } from 'node:fs/promises';
import type { Config } from '../config/load-config.ts';
import { AppError } from '../errors/app-error.ts';
import { diskSpace } from '../files/disk-space.ts';

export type DiskState = {
  /** Free space in MiB, of the folder that has less. */
  freeMb: number;
  /** Whether clean-up should make room. */
  low: boolean;
  /** Why no new work may start. */
  problem: AppError | undefined;
};

export type DiskGuard = ReturnType<typeof createDiskGuard>;

const MIB = 1024 ** 2;
const RETRY_SECONDS = 60;
/** A request that starts a run needs the same check as the dispatcher right after it. */
const MAX_AGE_MS = 20;

/** Reserves the last free space of DATA_DIR and TICKETS_ROOT for running work, which needs it to finish. */
export function createDiskGuard(config: Pick<Config, 'DATA_DIR' | 'TICKETS_ROOT' | 'MIN_FREE_DISK_MB'>) {
  const { MIN_FREE_DISK_MB: required } = config;

  async function checkFolder(name: 'DATA_DIR' | 'TICKETS_ROOT'): Promise<DiskState> {
    const folder = config[name];
    try {
      const { free } = await diskSpace(folder);
      const freeMb = Math.floor(free / MIB);
      await access(folder, constants.W_OK);
      return {
        freeMb,
        low: freeMb < 2 * required,
        problem: freeMb < required ? diskFull(name, freeMb, required) : undefined,
      };
    } catch (cause) {
      return { freeMb: 0, low: false, problem: unwritable(name, cause) };
    }
  }

  /** Checks the file systems of both folders. */
  async function check(): Promise<DiskState> {
    const [data, tickets] = await Promise.all([checkFolder('DATA_DIR'), checkFolder('TICKETS_ROOT')]);
    return {
      freeMb: Math.min(data.freeMb, tickets.freeMb),
      low: data.low || tickets.low,
      problem: data.problem ?? tickets.problem,
    };
  }

  let last: { at: number; state: Promise<DiskState> } | undefined;

  return {
    check,
    checkFolder,
    /** Returns why no new work may start: `disk_full` or `storage_unavailable`. */
    async problem(): Promise<AppError | undefined> {
      const now = performance.now();
      if (last === undefined || now - last.at > MAX_AGE_MS) last = { at: now, state: check() };
      const { problem } = await last.state;
      // A problem is not cached: the next check must see that it is fixed.
      if (problem !== undefined) last = undefined;
      return problem;
    },
  };
}

function diskFull(name: string, freeMb: number, required: number): AppError {
  return new AppError('disk_full', `${name} has ${freeMb} MiB of free space, but new work needs ${required} MiB.`, {
    remedy: `Free up space in the file system of ${name}, or lower MIN_FREE_DISK_MB.`,
    retryAfter: RETRY_SECONDS,
  });
}

function unwritable(name: string, cause: unknown): AppError {
  return new AppError('storage_unavailable', `${name} is not writable.`, {
    cause,
    remedy: `Make the file system of ${name} writable for the user of the server.`,
    retryAfter: RETRY_SECONDS,
  });
}
