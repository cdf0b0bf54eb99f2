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
 * Keeps what is in the workspace now as a commit of its own, on no branch: `refs/pullwright/checkpoints/<name>`. Workspace,
 * branch and index stay as they are. Ignored files, files too large for GitHub and repositories in the repository are not
 * in it. No agent may be at work in the workspace meanwhile.
 * @param head commit the branch is at
 * @returns the commit and its ref; undefined when there is nothing that is not committed
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
