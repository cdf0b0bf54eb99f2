import { execa } from 'execa';

export type ProcessRequest = {
  args: readonly string[];
  env: Readonly<Record<string, string>>;
  input: string | Uint8Array | undefined;
  signal: AbortSignal | undefined;
  timeoutMs: number;
  /** Bytes of stdout that are kept; at one more the command is ended. */
  maxOutput: number;
  /** Gets stdout as it comes, of any length; then nothing of it is kept. */
  onStdout: ((chunk: Buffer) => void) | undefined;
  onStderr: ((chunk: string) => void) | undefined;
};

export type ProcessResult = {
  stdout: Buffer;
  /** The newest of it, at most 16 KiB. */
  stderr: string;
  /** Undefined when a signal ended the command or it could not be started. */
  exitCode: number | undefined;
  ended: 'by itself' | 'canceled' | 'timed out' | 'output limit' | 'not started';
  cause: unknown;
};

const STDERR_KEPT = 16 * 1024;
/** Less than the time in which a canceled run is to end. */
const GRACE_MS = 1000;

/**
 * Runs git as a process group of its own, so that its helpers (`git remote-https`, `git index-pack`) end with it:
 * asked by SIGTERM, which lets git remove its lock files, and made to by SIGKILL. Never throws.
 */
export async function runGitProcess(request: ProcessRequest): Promise<ProcessResult> {
  const { args, env, input, signal, timeoutMs, maxOutput, onStdout, onStderr } = request;
  const child = execa('git', args, {
    cwd: '/',
    env,
    extendEnv: false,
    encoding: 'buffer',
    stripFinalNewline: false,
    reject: false,
    ...(input === undefined ? { stdin: 'ignore' as const } : { input }),
    buffer: { stdout: onStdout === undefined, stderr: false },
    maxBuffer: { stdout: maxOutput },
    killDescendants: true,
    forceKillAfterDelay: GRACE_MS,
    timeout: timeoutMs,
    ...(signal === undefined ? {} : { cancelSignal: signal }),
  });

  let stderr = '';
  const decoder = new TextDecoder();
  child.stderr.on('data', (chunk: Uint8Array) => {
    const text = decoder.decode(chunk, { stream: true });
    stderr = (stderr + text).slice(-STDERR_KEPT);
    onStderr?.(text);
  });

  if (onStdout) child.stdout.on('data', onStdout);

  const result = await child;
  return {
    stdout: Buffer.from(result.stdout ?? ''),
    stderr,
    exitCode: result.exitCode,
    ended: howItEnded(result),
    cause: result.failed ? result.cause : undefined,
  };
}

function howItEnded(result: {
  isCanceled: boolean;
  timedOut: boolean;
  isMaxBuffer: boolean;
  exitCode?: number;
  signal?: string;
}): ProcessResult['ended'] {
  if (result.isCanceled) return 'canceled';
  if (result.timedOut) return 'timed out';
  if (result.isMaxBuffer) return 'output limit';
  if (result.exitCode === undefined && result.signal === undefined) return 'not started';
  return 'by itself';
}
