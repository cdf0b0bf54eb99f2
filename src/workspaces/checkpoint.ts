import type { Git } from '../git/git.ts';
import { checkWorkspace, listChanges, type Place, withScratchIndex, writeTree } from './snapshot.ts';

/**
 * Keeps what is in the workspace now as a commit of its own, on no branch: `refs/pullwright/checkpoints/<name>`. Workspace,
 * branch and index stay as they are. Ignored files, files too large for GitHub and repositories in the repository are not
 * in it. No agent may be at work in the workspace meanwhile.
 * @param head commit the branch is at
 * @returns the commit and its ref; undefined when there is nothing that is not committed
 * @throws AppError `workspace_tampered`
 */
export async function checkpointOf(
  git: Git,
  staging: string,
  place: Place,
  head: string,
  name: string,
): Promise<{ ref: string; sha: string } | undefined> {
  const { gitDir } = place;
  await checkWorkspace(place);
  return withScratchIndex(gitDir, staging, async ({ indexFile }) => {
    const { tree } = await writeTree(git, place, indexFile, await listChanges(git, place, indexFile));
    if (tree === (await git.ask(gitDir).tree(head))) return undefined;
    const message = `Checkpoint of run ${name}\n`;
    const made = await git.run(['commit-tree', '-p', head, tree], { gitDir, input: message });
    const sha = made.stdout.toString().trim();
    const ref = `refs/pullwright/checkpoints/${name}`;
    await git.run(['update-ref', '-m', 'checkpoint', ref, sha], { gitDir });
    return { ref, sha };
  });
}
