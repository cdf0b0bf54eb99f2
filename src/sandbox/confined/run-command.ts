import { constants } from 'node:os';
import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { execa } from 'execa';
import type { Command } from '../types.ts';

export type CommandOptions = {
  input?: string | Uint8Array | Readable | undefined;
  signal?: AbortSignal | undefined;
  timeoutMs: number;
  /** Bytes of stdout to keep. A command that prints more is killed. */
  maxOutput: number;
  /** Receives stdout as a stream of any length instead, with back-pressure. */
  output?: Writable | undefined;
  onStderr?: ((chunk: string) => void) | undefined;
};

export type CommandResult = {
  stdout: Buffer;
  /** At most the last 16 KiB. */
  stderr: string;
  /** Undefined when a signal killed the command or it did not start. */
  exitCode: number | undefined;
  ended: 'exited' | 'canceled' | 'timed out' | 'cpu limit' | 'output limit' | 'not started';
  cause: unknown;
};

const MAX_STDERR = 16 * 1024;
/** Time between SIGTERM and SIGKILL, shorter than the limit for a canceled run to finish. */
const SIGTERM_TIMEOUT_MS = 1000;
/** Exit codes of bubblewrap when the kernel killed the program at its limit of CPU time: setrlimit(2). */
const CPU_LIMIT_CODES = [128 + constants.signals.SIGXCPU, 128 + constants.signals.SIGKILL];

/**
 * Runs a command to its end in a new process group, so that its children (`git remote-https`, `git index-pack`) die with
 * it. To stop it, sends SIGTERM, on which git removes its lock files, then SIGKILL. Never throws.
 */
export async function runCommand(command: Command, options: CommandOptions): Promise<CommandResult> {
  const { input, signal, timeoutMs, maxOutput, output, onStderr } = options;
  const child = execa(command.file, command.args, {
    cwd: command.cwd,
    env: command.env,
    extendEnv: false,
    encoding: 'buffer',
    stripFinalNewline: false,
    reject: false,
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe', ...command.inputs],
    ...(typeof input === 'string' || input instanceof Uint8Array ? { input } : {}),
    buffer: { stdout: output === undefined, stderr: false },
    maxBuffer: { stdout: maxOutput },
    killDescendants: true,
    forceKillAfterDelay: SIGTERM_TIMEOUT_MS,
    timeout: timeoutMs,
    ...(signal === undefined ? {} : { cancelSignal: signal }),
  });

  let stderr = '';
  const decoder = new TextDecoder();
  child.stderr.on('data', (chunk: Uint8Array) => {
    const text = decoder.decode(chunk, { stream: true });
    stderr = (stderr + text).slice(-MAX_STDERR);
    onStderr?.(text);
  });
  // A broken pipeline also stops the command, or follows from its exit.
  const pipelines = Promise.allSettled([
    ...(input instanceof Readable && child.stdin ? [pipeline(input, child.stdin)] : []),
    ...(output ? [pipeline(child.stdout, output)] : []),
  ]);

  const result = await child;
  await pipelines;
  return {
    stdout: Buffer.from(result.stdout ?? ''),
    stderr,
    exitCode: result.exitCode,
    ended: classifyEnd(result),
    cause: result.failed ? result.cause : undefined,
  };
}

function classifyEnd(result: {
  isCanceled: boolean;
  timedOut: boolean;
  isMaxBuffer: boolean;
  exitCode?: number;
  signal?: string;
}): CommandResult['ended'] {
  if (result.isCanceled) return 'canceled';
  if (result.timedOut) return 'timed out';
  if (result.isMaxBuffer) return 'output limit';
  if (result.exitCode === undefined && result.signal === undefined) return 'not started';
  if (CPU_LIMIT_CODES.includes(result.exitCode ?? 0)) return 'cpu limit';
  return 'exited';
}
