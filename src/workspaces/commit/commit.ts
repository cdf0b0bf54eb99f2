import { canceled } from '../../concurrency/abortable.ts';
import { AppError } from '../../errors/app-error.ts';
import { splitZ } from '../../files/null-separated.ts';
import type { Git } from '../../git/git.ts';
import type { Redactor } from '../../redaction/redactor.ts';
import { noBranch } from '../open-ticket.ts';
import { checkHead, GITLINK, tampered, touchedSubmodules } from '../worktree/checks.ts';
import { listPaths, printable } from '../worktree/format-paths.ts';
import { restoreGitFile } from '../worktree/git-file.ts';
import { keepObjects, publishIndex } from '../worktree/scratch-results.ts';
import {
  type Changes,
  checkWorkspace,
  listChanges,
  MAX_FILE_BYTES,
  type TreeTools,
  type WorktreePaths,
  withWorktree,
  writeTree,
} from '../worktree/snapshot.ts';
import { type CommitText, commitMessage } from './commit-message.ts';
import { withoutProtected } from './protected-paths.ts';
import { checkForSecrets } from './secret-check.ts';

export type Commit = { sha: string; subject: string; filesChanged: number };

export type CommitResult = {
  /** Undefined without changes. */
  commit: Commit | undefined;
  /** Changed files that are not committed, since PROTECTED_PATHS covers them. */
  heldBack: string[];
  /** For a person. */
  notes: string[];
};

/** Levels of repositories inside repositories. */
const MAX_NESTING = 10;

/**
 * Commits all changes of the workspace except protected paths to the ticket's branch. No agent may be working in it.
 * @param deps.quarantine folder for a `.git` that is moved out of the workspace
 * @param signal has no effect once the branch is being updated
 * @throws AppError `workspace_tampered`, `workspace_unreadable`, `file_too_large`, `secret_in_diff`, or the signal's. The workspace
 * is then unchanged
 */
export async function commitWorkspace(
  deps: {
    tools: TreeTools;
    redactor: Redactor;
    quarantine: string;
    protectedPaths: readonly string[];
  },
  paths: WorktreePaths,
  branch: string,
  text: CommitText,
  signal?: AbortSignal,
): Promise<CommitResult> {
  const { tools, redactor, quarantine } = deps;
  const { programs } = tools;
  const git = withSignal(tools.git, signal);
  const { gitDir, workspace } = paths;
  await checkWorkspace(paths);
  checkHead(gitDir, branch);
  const notes = await restoreGitFile(programs, paths, quarantine, signal);
  await programs.stripSetIds(workspace, signal);

  return withWorktree(tools, paths, signal, async (worktree) => {
    let all = await listChanges(worktree);
    for (let depth = 0; all.nested.length > 0; depth += 1) {
      if (depth === MAX_NESTING) throw tampered('The workspace has too many levels of nested repositories.');
      for (const folder of all.nested) {
        await programs.unnest(workspace, folder, quarantine, signal);
        notes.push(
          `${printable(folder)} was a git repository of its own; its files were committed, and its .git was moved away.`,
        );
      }
      all = await listChanges(worktree);
    }
    for (const folder of await touchedSubmodules(worktree)) {
      notes.push(`${printable(folder)} is a submodule; changes in it were not committed.`);
    }
    const { changes, heldBack } = withoutProtected(all, deps.protectedPaths);
    refuseLargeFiles(changes);
    const { tree, leftOut } = await writeTree(worktree, changes);
    if (leftOut.length > 0) {
      notes.push(`Left out, since some file systems treat a name in the path as .git: ${listPaths(leftOut, 20)}.`);
    }

    const ref = `refs/heads/${branch}`;
    const parent = await git.query(gitDir).commit(ref);
    if (parent === undefined) throw noBranch(branch);
    if (tree !== (await git.query(gitDir).tree(parent))) await keepObjects(git, worktree, tree, parent);
    const filesChanged = await countChangedFiles(git, gitDir, parent, tree);
    let commit: Commit | undefined;
    if (filesChanged > 0) {
      notes.push(...(await checkForSecrets(git, gitDir, redactor, parent, tree)));
      const message = redactor.value(commitMessage(text, redactor.text));
      const made = await git.run(['commit-tree', '-p', parent, tree], { gitDir, input: message.text });
      const sha = made.stdout.toString().trim();
      if (signal?.aborted) throw canceled(signal);
      // Without the signal: after an abort, the state of the branch would be uncertain.
      await tools.git.run(['update-ref', '-m', 'commit', ref, sha, parent], { gitDir });
      commit = { sha, subject: message.subject, filesChanged };
    }
    // Also without changes: this fixes the index after a commit that was killed just before.
    await publishIndex(worktree);
    return { commit, heldBack: heldBack.map(redactor.text), notes };
  });
}

/** Returns a git whose commands are killed by the signal. */
function withSignal(git: Git, signal: AbortSignal | undefined): Git {
  return { ...git, run: (args, options) => git.run(args, { ...options, signal }) };
}

function refuseLargeFiles({ tooLarge }: Changes): void {
  if (tooLarge.length === 0) return;
  const files = tooLarge.map(({ path, bytes }) => `${path} (${Math.ceil(bytes / 1024 ** 2)} MiB)`);
  throw new AppError(
    'file_too_large',
    `The workspace has files above ${MAX_FILE_BYTES / 1024 ** 2} MiB: ${listPaths(files, 5)}.`,
  );
}

/** @throws AppError `workspace_tampered` when a submodule changed: its commit would exist nowhere else */
async function countChangedFiles(git: Git, gitDir: string, parent: string, tree: string): Promise<number> {
  const { stdout } = await git.run(['diff-tree', '-r', '-z', '--raw', '--find-renames', parent, tree], { gitDir });
  const records = splitZ(stdout).map(String);
  let files = 0;
  for (let index = 0; index < records.length; index += 1) {
    const [from = '', to = '', , , status = ''] = (records[index] ?? '').slice(1).split(' ');
    const path = records[index + 1] ?? '';
    if (from === GITLINK || to === GITLINK) {
      throw tampered(`${printable(path)} is a submodule, and submodules cannot be changed here.`);
    }
    files += 1;
    index += status.startsWith('R') ? 2 : 1;
  }
  return files;
}
