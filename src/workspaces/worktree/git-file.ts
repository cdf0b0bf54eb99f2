import { lstat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TreePrograms } from '../../trees/tree-programs.ts';
import type { WorktreePaths } from './snapshot.ts';

/**
 * Writes the `.git` file of a new workspace, for a person who runs git there and for the agent's read-only git. The server does
 * not read it: it passes all paths to git.
 */
export async function writeGitFile(workspace: string, gitDir: string): Promise<void> {
  await writeFile(join(workspace, '.git'), gitFileText(gitDir), { flag: 'wx' });
}

/** Restores the file when it was replaced, since a person's next git command would trust the replacement. Returns notes. */
export async function restoreGitFile(
  programs: TreePrograms,
  { workspace, gitDir }: Pick<WorktreePaths, 'workspace' | 'gitDir'>,
  quarantine: string,
  signal?: AbortSignal,
): Promise<string[]> {
  const moved = await programs.restoreGitFile(workspace, gitFileText(gitDir), quarantine, signal);
  return moved
    ? ['The .git of the workspace had been replaced; the replacement was moved away and the file restored.']
    : [];
}

/** Returns whether the `.git` of a workspace is a file. An agent in mode `write` needs that; its content does not matter. */
export async function hasGitFile(workspace: string): Promise<boolean> {
  return lstat(join(workspace, '.git')).then(
    (found) => found.isFile(),
    () => false,
  );
}

function gitFileText(gitDir: string): string {
  return `gitdir: ${gitDir}\n`;
}
