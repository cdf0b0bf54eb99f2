import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '../../config/load-config.ts';
import { AppError } from '../../errors/app-error.ts';
import type { AgentDefinition, AgentMode } from '../agent-definition.ts';
import type { StartedAgent } from './launch-agent.ts';

/** Whether the version that is installed now is the one that was started. */
export function isCurrent({ definition, version }: StartedAgent): boolean {
  try {
    return definition.version() === version;
  } catch {
    // It is gone, and cannot be replaced.
    return true;
  }
}

/** Whether an agent is what a command needs. */
export function suits(agent: StartedAgent, definition: AgentDefinition, mode: AgentMode): boolean {
  return agent.definition === definition && agent.mode === mode && isCurrent(agent);
}

/** What tells one workspace of a ticket from another in the same place; nothing where there is none. */
export async function placeOf(workspace: string): Promise<string> {
  const [folder, git] = await Promise.all([lstat(workspace), lstat(join(workspace, '.git'))]).catch(() => []);
  return folder && git ? `${folder.dev}:${folder.ino}:${git.ino}` : '';
}

/** What is done to start an agent. @throws AppError `agent_unavailable` when it takes too long; as the signal says */
export async function inTime<T>(
  { AGENT_START_SECONDS: seconds }: Pick<Config, 'AGENT_START_SECONDS'>,
  { title }: AgentDefinition,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = AbortSignal.timeout(seconds * 1000);
  try {
    return await work(AbortSignal.any([signal, late]));
  } catch (error) {
    if (!late.aborted || signal.aborted) throw error;
    throw new AppError('agent_unavailable', `${title} did not start within ${seconds} seconds.`);
  }
}
