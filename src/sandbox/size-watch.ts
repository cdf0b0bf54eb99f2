import { execa } from 'execa';
import { AppError } from '../errors/app-error.ts';

const LEAST_PAUSE_MS = 1000;
/** Measuring takes a part of the time only, however large the folders are. */
const PAUSE_FACTOR = 10;
const MEASURE_MS = 120_000;

export type SizeLimit = {
  folders: readonly string[];
  maxMib: number;
  /** Where `du` is found. */
  path: string;
};

/**
 * Measures folders again and again, and calls back once when together they take more of the disk than they may.
 * Between two looks they can grow as fast as the disk is.
 * @returns stops it
 */
export function watchSize(limit: SizeLimit, onTooLarge: (error: AppError) => void): () => void {
  const stop = new AbortController();
  let timer: NodeJS.Timeout | undefined;

  async function look(): Promise<void> {
    const begun = performance.now();
    const error = await findExcess(limit, stop.signal);
    if (stop.signal.aborted) return;
    if (error) return onTooLarge(error);
    const pause = Math.max(LEAST_PAUSE_MS, PAUSE_FACTOR * (performance.now() - begun));
    timer = setTimeout(() => void look(), pause).unref();
  }

  void look();
  return () => {
    stop.abort();
    clearTimeout(timer);
  };
}

/** Whether folders can be measured here at all, tried on one that exists. */
export async function canMeasure(folder: string, path: string): Promise<boolean> {
  const { kib } = await measure({ folders: [folder], path });
  return kib !== undefined;
}

async function findExcess({ folders, maxMib, path }: SizeLimit, cancelSignal: AbortSignal) {
  const { kib = 0, timedOut } = await measure({ folders, path, cancelSignal });
  if (timedOut) return new AppError('workspace_too_large', 'The workspace holds more files than can be counted.');
  if (kib <= maxMib * 1024) return undefined;
  const mib = Math.ceil(kib / 1024);
  return new AppError('workspace_too_large', `The workspace has grown to ${mib} MiB; ${maxMib} MiB are allowed.`);
}

/** What folders take of the disk together; no `kib` when nothing was counted. */
async function measure(given: { folders: readonly string[]; path: string; cancelSignal?: AbortSignal }) {
  const { folders, path, cancelSignal } = given;
  // Files may vanish while it looks; then it fails, and still says what it found.
  const { stdout, timedOut } = await execa('du', ['-skx', '--', ...folders], {
    env: { PATH: path },
    extendEnv: false,
    stdin: 'ignore',
    stderr: 'ignore',
    reject: false,
    timeout: MEASURE_MS,
    ...(cancelSignal === undefined ? {} : { cancelSignal }),
    forceKillAfterDelay: false,
    killSignal: 'SIGKILL',
  });
  const counts = String(stdout)
    .split('\n')
    .map((line) => Number.parseInt(line, 10))
    .filter((count) => !Number.isNaN(count));
  return counts.length === 0 ? { timedOut } : { timedOut, kib: counts.reduce((sum, count) => sum + count, 0) };
}
