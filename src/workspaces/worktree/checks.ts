import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { AppError } from '../../errors/app-error.ts';
import { splitZ } from '../../files/null-separated.ts';
import type { Worktree } from './snapshot.ts';

/** The mode of a submodule in a tree. */
export const GITLINK = '160000';
const GITLINK_BYTES = Buffer.from(GITLINK);

/**
 * Checks that the ticket's branch is checked out. The index belongs to the branch of HEAD; a commit to another branch would
 * revert the difference between the two.
 * @throws AppError `workspace_tampered`
 */
export function checkHead(gitDir: string, branch: string): void {
  const head = readFileSync(join(gitDir, 'HEAD'), 'utf8');
  if (head.trim() !== `ref: refs/heads/${branch}`) {
    throw new AppError('workspace_tampered', `The workspace is not on the branch ${branch}.`, {
      remedy: `Run git checkout ${branch} in it, or delete the ticket with force=true.`,
    });
  }
}

/** Lists the submodules with files. Their folders were checked out empty, and no commit of this repository can hold the files. */
export async function touchedSubmodules(worktree: Worktree): Promise<string[]> {
  const { git, programs, workspace, indexed, signal } = worktree;
  const { stdout } = await git.run(['ls-files', '-z', '--stage'], indexed);
  const submodules = splitZ(stdout).filter((record) => record.subarray(0, GITLINK.length).equals(GITLINK_BYTES));
  const folders = submodules.map((record) => record.subarray(record.indexOf('\t') + 1));
  return (await programs.occupied(workspace, folders, signal)).map(String);
}

export function tampered(detail: string): AppError {
  return new AppError('workspace_tampered', detail);
}
