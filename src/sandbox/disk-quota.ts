import { AppError } from '../errors/app-error.ts';
import type { Confine } from './confined/confine.ts';
import { runProgram } from './confined/programs.ts';

const MIN_INTERVAL_MS = 1000;
/** Interval between measurements as a multiple of the time that one takes. */
const INTERVAL_FACTOR = 10;
const MEASURE_TIMEOUT_MS = 30_000;
const LIMITS = { cpuSeconds: 20, memoryMib: 512, fileMib: 1 };

export type DiskQuota = {
  folders: readonly string[];
  maxMib: number;
};

/**
 * Measures folders repeatedly and calls back once when their total size exceeds a quota. They can exceed it between two
 * measurements.
 * @param onExceeded receives an AppError `workspace_too_large`
 * @returns stops the measurements; resolves when none is running
 */
export function watchDiskQuota(
  confine: Confine,
  quota: DiskQuota,
  onExceeded: (error: AppError) => void,
): () => Promise<void> {
  const stop = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let checking: Promise<void>;

  async function check(): Promise<void> {
    const startedAt = performance.now();
    const error = await findExcess(confine, quota, stop.signal);
    if (stop.signal.aborted) return;
    if (error) return onExceeded(error);
    const pause = Math.max(MIN_INTERVAL_MS, INTERVAL_FACTOR * (performance.now() - startedAt));
    timer = setTimeout(() => {
      checking = check();
    }, pause).unref();
  }

  checking = check();
  return async () => {
    stop.abort();
    clearTimeout(timer);
    await checking;
  };
}

/** Returns whether measuring works on this machine, tried on an existing folder. */
export async function canMeasureDiskUse(confine: Confine, folder: string): Promise<boolean> {
  const { kib } = await measure(confine, [folder]);
  return kib !== undefined;
}

async function findExcess(confine: Confine, { folders, maxMib }: DiskQuota, signal: AbortSignal) {
  const { kib = 0, timedOut } = await measure(confine, folders, signal);
  if (timedOut) return new AppError('workspace_too_large', 'The workspace contains too many files to measure.');
  if (kib <= maxMib * 1024) return undefined;
  const mib = Math.ceil(kib / 1024);
  return new AppError(
    'workspace_too_large',
    `The workspace has grown to ${mib} MiB; the limit is ${maxMib} MiB (MAX_WORKSPACE_MB).`,
  );
}

/** Measures the total disk use of folders; `kib` is missing when du printed nothing. */
async function measure(confine: Confine, folders: readonly string[], signal?: AbortSignal) {
  const program = { user: 'file-admin', readable: folders, writable: [], limits: LIMITS } as const;
  // du fails when files vanish meanwhile, but still prints a size.
  const du = { ...program, argv: ['du', '-skx', '--', ...folders] } as const;
  const { stdout, stderr, ended } = await runProgram(confine, du, { signal, timeoutMs: MEASURE_TIMEOUT_MS });
  // Folders without read permission count from the next measurement on.
  if (/Permission denied/.test(stderr)) await open(confine, folders, signal);
  const counts = stdout
    .toString()
    .split('\n')
    .map((line) => Number.parseInt(line, 10))
    .filter((count) => !Number.isNaN(count));
  const timedOut = ended === 'timed out' || ended === 'cpu limit';
  return counts.length === 0 ? { timedOut } : { timedOut, kib: counts.reduce((sum, count) => sum + count, 0) };
}

/** Restores the owner's read permission on folders. */
async function open(confine: Confine, folders: readonly string[], signal: AbortSignal | undefined): Promise<void> {
  const chmod = ['-type', 'd', '!', '-perm', '-u+rx', '-exec', 'chmod', 'u+rx', '{}', ';'];
  const program = { user: 'file-admin', readable: [], writable: folders, limits: LIMITS } as const;
  await runProgram(
    confine,
    { ...program, argv: ['find', ...folders, ...chmod] },
    { signal, timeoutMs: MEASURE_TIMEOUT_MS },
  );
}
