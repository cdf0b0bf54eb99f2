import { keepObjects } from '../worktree/scratch-results.ts';
import {
  checkWorkspace,
  listChanges,
  type TreeTools,
  type WorktreePaths,
  withWorktree,
  writeTree,
} from '../worktree/snapshot.ts';

/**
 * Keeps uncommitted work as a commit on no branch, `refs/pullwright/checkpoints/NAME`. Workspace, branch and index stay
 * unchanged. The commit has no ignored files, no files too large for GitHub and no nested repositories. No agent may be
 * working in the workspace.
 * @param head newest commit of the branch
 * @returns the commit and its ref; undefined without uncommitted work
 * @throws AppError `workspace_tampered`
 */
export async function checkpointOf(
  tools: TreeTools,
  paths: WorktreePaths,
  head: string,
  name: string,
  signal?: AbortSignal,
): Promise<{ ref: string; sha: string } | undefined> {
  const { git } = tools;
  const { gitDir } = paths;
  await checkWorkspace(paths);
  return withWorktree(tools, paths, signal, async (worktree) => {
    const { tree } = await writeTree(worktree, await listChanges(worktree));
    if (tree === (await git.query(gitDir).tree(head))) return undefined;
    await keepObjects(git, worktree, tree, head);
    const message = `Checkpoint of run ${name}\n`;
    const made = await git.run(['commit-tree', '-p', head, tree], { gitDir, input: message });
    const sha = made.stdout.toString().trim();
    const ref = `refs/pullwright/checkpoints/${name}`;
    await git.run(['update-ref', '-m', 'checkpoint', ref, sha], { gitDir });
    return { ref, sha };
  });
}
