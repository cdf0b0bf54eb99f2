import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import type { AgentDefinition, AgentMode } from '../agent-definition.ts';
import type { StartedAgent } from './launch-agent.ts';

/** Returns whether the process runs the version that is installed now. */
export function isCurrent({ definition, version }: StartedAgent): boolean {
  try {
    return definition.version() === version;
  } catch {
    // Uninstalled: there is no replacement.
    return true;
  }
}

/** Returns whether a process can serve a request. */
export function matches(agent: StartedAgent, definition: AgentDefinition, mode: AgentMode): boolean {
  return agent.definition === definition && agent.mode === mode && isCurrent(agent);
}

/** Identifies a workspace by its inodes, since another one can have the same path later. Empty when there is none. */
export async function workspaceIdentity(workspace: string): Promise<string> {
  const [folder, git] = await Promise.all([lstat(workspace), lstat(join(workspace, '.git'))]).catch(() => []);
  return folder && git ? `${folder.dev}:${folder.ino}:${git.ino}` : '';
}
