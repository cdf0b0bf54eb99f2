import { AppError } from '../../errors/app-error.ts';
import type { Confine, ConfinedProgram } from './confine.ts';
import { type CommandResult, runCommand } from './run-command.ts';

export type ProgramOptions = {
  input?: string | Uint8Array;
  signal?: AbortSignal | undefined;
  timeoutMs: number;
};

/** Output of a confined program that is not meant to print much. */
const MAX_OUTPUT = 64 * 1024 * 1024;

/** Runs a confined program from start to end. @returns its output and exit code; never throws for what the program does */
export async function runProgram(
  confine: Confine,
  program: ConfinedProgram,
  { input, signal, timeoutMs }: ProgramOptions,
): Promise<CommandResult> {
  return runCommand(await confine(program), { input, signal, timeoutMs, maxOutput: MAX_OUTPUT });
}

/**
 * Explains why a confined program found no end.
 * @param what it was to do, such as "git status"
 * @returns undefined when it ended by itself
 */
export function limitFailure(what: string, { ended }: CommandResult, seconds: number): AppError | undefined {
  if (ended !== 'timed out' && ended !== 'cpu limit' && ended !== 'output limit') return undefined;
  const how = ended === 'output limit' ? 'printed too much' : `took more than ${seconds} seconds`;
  return new AppError('workspace_unreadable', `${what} ${how} in the workspace.`);
}
