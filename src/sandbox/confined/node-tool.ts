import { AppError } from '../../errors/app-error.ts';
import type { Mount } from '../types.ts';
import type { Confine, ProgramLimits } from './confine.ts';
import { limitFailure, runProgram } from './programs.ts';

/** A script of the server for files that an agent can write. */
export type NodeTool = {
  /** Host path of the script, which imports Node's own modules only. */
  script: string;
  args: readonly string[];
  readable?: readonly string[];
  writable?: readonly string[];
  input?: string | Uint8Array;
  signal?: AbortSignal | undefined;
  limits?: Partial<ProgramLimits>;
};

const NODE: Mount = { host: process.execPath, inside: '/opt/node/bin/node' };
const SCRIPT_INSIDE = '/opt/tool.mjs';
const LIMITS: ProgramLimits = { cpuSeconds: 20, memoryMib: 1024, fileMib: 1 };
const TIMEOUT_SECONDS = 30;

/**
 * Runs a script of the server, confined to its paths.
 * @returns its stdout
 * @throws AppError `workspace_unreadable` at a limit of time or output, `workspace_tampered` when it fails; the signal's reason
 */
export async function runNodeTool(confine: Confine, tool: NodeTool): Promise<Buffer> {
  const { script, args, readable = [], writable = [], input, signal, limits } = tool;
  const program = {
    argv: [NODE.inside, SCRIPT_INSIDE, ...args],
    user: 'file-admin',
    readable,
    writable,
    mounts: [NODE, { host: script, inside: SCRIPT_INSIDE }],
    limits: { ...LIMITS, ...limits },
  } as const;
  const given = input === undefined ? {} : { input };
  const result = await runProgram(confine, program, { ...given, signal, timeoutMs: TIMEOUT_SECONDS * 1000 });
  signal?.throwIfAborted();
  const failure = limitFailure('Reading the files', result, TIMEOUT_SECONDS);
  if (failure) throw failure;
  if (result.exitCode === 0) return result.stdout;
  throw new AppError('workspace_tampered', 'The files of the workspace could not be read or moved.', {
    cause: new Error(result.stderr),
  });
}
