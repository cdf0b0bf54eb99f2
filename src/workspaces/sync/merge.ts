import { AppError } from '../../errors/app-error.ts';
import { splitZ } from '../../files/null-separated.ts';
import type { Git } from '../../git/git.ts';
import { inertLine } from '../../git/inert-text.ts';
import type { TreeScans } from '../scan/tree-scan.ts';
import { listPaths } from '../worktree/format-paths.ts';

/**
 * Merges the commit `theirs` into `ours`, without a work tree.
 * @param names the branches of both, for the message
 * @returns the commit with both: one of them, or a new merge
 * @throws AppError `merge_conflict` with the files; the errors of TreeScans for `theirs` or a new merge
 */
export async function mergeCommits(
  git: Git,
  scans: TreeScans,
  gitDir: string,
  ours: string,
  theirs: string,
  names: { ours: string; theirs: string },
): Promise<string> {
  if (ours === theirs) return ours;
  const base = await git.query(gitDir).mergeBase(ours, theirs);
  if (base === theirs) return ours;
  await scans.check(gitDir, theirs);
  if (base === ours) return theirs;
  if (base === undefined) throw conflict(`${names.theirs} and ${names.ours} have no history in common.`);
  await scans.checkSize(gitDir, base);

  const flags = ['--write-tree', '-z', '--name-only', '--no-messages'];
  const merged = await git.run(['merge-tree', ...flags, ours, theirs], { gitDir, exitCodes: [0, 1] });
  const [tree = '', ...files] = splitZ(merged.stdout).map(String);
  if (merged.exitCode === 1) throw conflict(`${names.theirs} and ${names.ours} both changed ${listPaths(files, 20)}.`);

  const input = `Merge branch '${inertBranch(names.theirs)}' into ${inertBranch(names.ours)}\n`;
  const made = await git.run(['commit-tree', '-p', ours, '-p', theirs, tree], { gitDir, input });
  const merge = made.stdout.toString().trim();
  await scans.check(gitDir, merge);
  return merge;
}

/** The name of a branch is foreign text. The remote has it already, so nothing is redacted. */
function inertBranch(name: string): string {
  return inertLine(name, (text) => text, 250);
}

function conflict(detail: string): AppError {
  return new AppError('merge_conflict', detail);
}
