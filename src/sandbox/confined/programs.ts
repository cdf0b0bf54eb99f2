import { AppError } from '../../errors/app-error.ts';
import type { Confine, ConfinedProgram } from './confine.ts';
import { type CommandResult, runCommand } from './run-command.ts';

export type ProgramOptions = {
  input?: string | Uint8Array;
  signal?: AbortSignal | undefined;
  timeoutMs: number;
};

const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

/** Runs a confined program to its end. Never throws for a failure of the program. */
export async function runProgram(
  confine: Confine,
  program: ConfinedProgram,
  { input, signal, timeoutMs }: ProgramOptions,
): Promise<CommandResult> {
  return runCommand(await confine(program), { input, signal, timeoutMs, maxOutput: MAX_OUTPUT_BYTES });
}

/**
 * Describes the limit that stopped a confined program, as `workspace_unreadable`.
 * @param what subject of the sentence, such as "git status"
 * @returns undefined when no limit stopped it
 */
export function limitFailure(what: string, { ended }: CommandResult, seconds: number): AppError | undefined {
  if (ended !== 'timed out' && ended !== 'cpu limit' && ended !== 'output limit') return undefined;
  const how = ended === 'output limit' ? 'printed too much' : `took more than ${seconds} seconds`;
  return new AppError('workspace_unreadable', `${what} ${how} in the workspace.`);
}
