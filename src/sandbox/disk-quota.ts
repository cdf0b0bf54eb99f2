import { AppError } from '../errors/app-error.ts';
import type { Confine } from './confined/confine.ts';
import { runProgram } from './confined/programs.ts';

const MIN_INTERVAL_MS = 1000;
/** Measuring takes a part of the time only, however large the folders are. */
const INTERVAL_FACTOR = 10;
const MEASURE_TIMEOUT_MS = 30_000;
const LIMITS = { cpuSeconds: 20, memoryMib: 512, fileMib: 1 };

export type DiskQuota = {
  folders: readonly string[];
  maxMib: number;
};

/**
 * Measures folders again and again, and calls back once when together they take more of the disk than they may.
 * Between two measurements they can grow as fast as the disk is.
 * @returns stops it, and resolves when nothing of it runs
 */
export function watchDiskQuota(
  confine: Confine,
  limit: DiskQuota,
  onQuotaExceeded: (error: AppError) => void,
): () => Promise<void> {
  const stop = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let checking: Promise<void>;

  async function check(): Promise<void> {
    const begun = performance.now();
    const error = await findExcess(confine, limit, stop.signal);
    if (stop.signal.aborted) return;
    if (error) return onQuotaExceeded(error);
    const pause = Math.max(MIN_INTERVAL_MS, INTERVAL_FACTOR * (performance.now() - begun));
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

/** Whether folders can be measured here at all, tried on one that exists. */
export async function canMeasureDiskUse(confine: Confine, folder: string): Promise<boolean> {
  const { kib } = await measure(confine, [folder]);
  return kib !== undefined;
}

async function findExcess(confine: Confine, { folders, maxMib }: DiskQuota, signal: AbortSignal) {
  const { kib = 0, endless } = await measure(confine, folders, signal);
  if (endless) return new AppError('workspace_too_large', 'The workspace holds more files than can be counted.');
  if (kib <= maxMib * 1024) return undefined;
  const mib = Math.ceil(kib / 1024);
  return new AppError('workspace_too_large', `The workspace has grown to ${mib} MiB; ${maxMib} MiB are allowed.`);
}

/** Measures what folders take of the disk together; no `kib` when nothing was counted. */
async function measure(confine: Confine, folders: readonly string[], signal?: AbortSignal) {
  const program = { user: 'file-admin', readable: folders, writable: [], limits: LIMITS } as const;
  // Files may vanish meanwhile; then it fails, and still prints what it found.
  const du = { ...program, argv: ['du', '-skx', '--', ...folders] } as const;
  const { stdout, stderr, ended } = await runProgram(confine, du, { signal, timeoutMs: MEASURE_TIMEOUT_MS });
  // For the next measurement: what a folder without its permissions holds is not seen, unless the server is root.
  if (/Permission denied/.test(stderr)) await open(confine, folders, signal);
  const counts = stdout
    .toString()
    .split('\n')
    .map((line) => Number.parseInt(line, 10))
    .filter((count) => !Number.isNaN(count));
  const endless = ended === 'timed out' || ended === 'cpu limit';
  return counts.length === 0 ? { endless } : { endless, kib: counts.reduce((sum, count) => sum + count, 0) };
}

/** Lets their owner into folders. */
async function open(confine: Confine, folders: readonly string[], signal: AbortSignal | undefined): Promise<void> {
  const chmod = ['-type', 'd', '!', '-perm', '-u+rx', '-exec', 'chmod', 'u+rx', '{}', ';'];
  const program = { user: 'file-admin', readable: [], writable: folders, limits: LIMITS } as const;
  await runProgram(
    confine,
    { ...program, argv: ['find', ...folders, ...chmod] },
    { signal, timeoutMs: MEASURE_TIMEOUT_MS },
  );
}
