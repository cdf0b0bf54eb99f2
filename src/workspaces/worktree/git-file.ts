import { lstat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TreePrograms } from '../../trees/tree-programs.ts';
import type { WorktreePaths } from './snapshot.ts';

/**
 * Points a new workspace at its git directory, for a person who runs git there and for the agent's read-only view. The
 * server never reads this file: it tells git where everything is.
 */
export async function writeGitFile(workspace: string, gitDir: string): Promise<void> {
  await writeFile(join(workspace, '.git'), gitFileText(gitDir), { flag: 'wx' });
}

/** Puts the file back when something else has taken its place: a person's next git command would trust that. */
export async function restoreGitFile(
  programs: TreePrograms,
  { workspace, gitDir }: Pick<WorktreePaths, 'workspace' | 'gitDir'>,
  quarantine: string,
  signal?: AbortSignal,
): Promise<string[]> {
  const moved = await programs.restoreGitFile(workspace, gitFileText(gitDir), quarantine, signal);
  return moved ? ['The .git of the workspace had been replaced; it was moved away and put back.'] : [];
}

/** Whether the `.git` of a workspace is a file, whatever is in it: an agent that may write can be started then. */
export async function hasGitFile(workspace: string): Promise<boolean> {
  return lstat(join(workspace, '.git')).then(
    (found) => found.isFile(),
    () => false,
  );
}

function gitFileText(gitDir: string): string {
  return `gitdir: ${gitDir}\n`;
}
