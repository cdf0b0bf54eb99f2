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

async function findExcess({ folders, maxMib, path }: SizeLimit, cancelSignal: AbortSignal) {
  // Files may vanish while it looks; then it fails, and still says what it found.
  const { stdout, timedOut } = await execa('du', ['-skx', '--', ...folders], {
    env: { PATH: path },
    extendEnv: false,
    stdin: 'ignore',
    stderr: 'ignore',
    reject: false,
    timeout: MEASURE_MS,
    cancelSignal,
    forceKillAfterDelay: false,
    killSignal: 'SIGKILL',
  });
  if (timedOut) return new AppError('workspace_too_large', 'The workspace holds more files than can be counted.');
  const kib = String(stdout)
    .split('\n')
    .reduce((sum, line) => sum + (Number.parseInt(line, 10) || 0), 0);
  if (kib <= maxMib * 1024) return undefined;
  const mib = Math.ceil(kib / 1024);
  return new AppError('workspace_too_large', `The workspace has grown to ${mib} MiB; ${maxMib} MiB are allowed.`);
}
