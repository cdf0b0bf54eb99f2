import { AppError } from '../../errors/app-error.ts';
import type { Mount } from '../types.ts';
import type { Confine, ProgramLimits } from './confine.ts';
import { limitFailure, runProgram } from './programs.ts';

/** A script of the server that works on files which an agent can write. */
export type NodeTool = {
  /** Path of the script on the host; it imports nothing but what Node brings along. */
  script: string;
  args: readonly string[];
  readable?: readonly string[];
  writable?: readonly string[];
  input?: string | Uint8Array;
  signal?: AbortSignal | undefined;
  limits?: Partial<ProgramLimits>;
};

const NODE: Mount = { host: process.execPath, inside: '/opt/node/bin/node' };
const INSIDE = '/opt/tool.mjs';
const LIMITS: ProgramLimits = { cpuSeconds: 20, memoryMib: 1024, fileMib: 1 };
const SECONDS = 30;

/**
 * Runs a script of the server confined to the paths that it works on.
 * @returns what it printed
 * @throws AppError `workspace_unreadable` when it does not end in time, `workspace_tampered` when it fails; as the signal says
 */
export async function runNodeTool(confine: Confine, tool: NodeTool): Promise<Buffer> {
  const { script, args, readable = [], writable = [], input, signal, limits } = tool;
  const program = {
    argv: [NODE.inside, INSIDE, ...args],
    user: 'file-admin',
    readable,
    writable,
    mounts: [NODE, { host: script, inside: INSIDE }],
    limits: { ...LIMITS, ...limits },
  } as const;
  const given = input === undefined ? {} : { input };
  const result = await runProgram(confine, program, { ...given, signal, timeoutMs: SECONDS * 1000 });
  signal?.throwIfAborted();
  const endless = limitFailure('Reading the files', result, SECONDS);
  if (endless) throw endless;
  if (result.exitCode === 0) return result.stdout;
  throw new AppError('workspace_tampered', 'The files of the workspace could not be read or moved.', {
    cause: new Error(result.stderr),
  });
}
