import { readFileSync, rmSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, toAppError } from '../../errors/app-error.ts';
import { isMissing } from '../../files/errors.ts';
import { joinZ, splitZ } from '../../files/null-separated.ts';
import { gitFailure } from '../../git/failure.ts';
import { publishIndex } from './scratch-results.ts';
import { checkWorkspace, type TreeTools, type Worktree, type WorktreePaths, withWorktree } from './snapshot.ts';

/** A file in the git directory with the two commits of a running move. */
const JOURNAL = 'moving';

/**
 * Moves a workspace and its branch from one commit to another, and keeps uncommitted work.
 * @returns a path whose uncommitted work blocks the move, with nothing changed; undefined when the move is complete
 * @throws AppError `workspace_tampered` when the move failed and was undone; the errors of `undoMove`; the reason of
 *   the signal, and then the next command completes the move
 */
export async function moveWorkspace(
  tools: TreeTools,
  paths: WorktreePaths,
  ref: string,
  move: Move,
  signal?: AbortSignal,
): Promise<string | undefined> {
  const { git } = tools;
  const { from, to } = move;
  return withWorktree(tools, paths, signal, async (tree) => {
    await alignIndex(tree, from);
    const dryRun = ['read-tree', '-m', '-u', '--dry-run', from, to] as const;
    const check = await git.run(dryRun, { ...tree.reading, exitCodes: [0, 1, 128] });
    if (check.exitCode !== 0) return blockedPath(check.stderr);

    await writeFile(join(paths.gitDir, JOURNAL), `${from} ${to}`, { flush: true });
    try {
      await git.run(['read-tree', '-m', '-u', from, to], tree.writing);
      await publish(tree, ref, to);
    } catch (error) {
      await undoMove(tools, paths, ref, move, error, signal);
      throw new AppError('workspace_tampered', `The new commits were not merged: ${toAppError(error).message}`, {
        cause: error,
        remedy:
          'Fix the problem in the detail, such as a folder without write permission. The next command tries again.',
      });
    }
    return undefined;
  });
}

/**
 * Completes an interrupted move, or else undoes it.
 * @throws the errors of `undoMove`; the signal's reason
 */
export async function finishMove(
  tools: TreeTools,
  paths: WorktreePaths,
  ref: string,
  signal?: AbortSignal,
): Promise<void> {
  const move = readJournal(paths.gitDir);
  if (move === undefined) return;
  await checkWorkspace(paths);
  await forceMove(tools, paths, ref, move, signal).catch((error) => undoMove(tools, paths, ref, move, error, signal));
}

export type Move = { from: string; to: string };

/**
 * Moves a workspace back after an error.
 * @throws AppError `workspace_tampered` when the workspace stays between the two commits. Nobody may work in it then
 * @throws `error` itself after an abort, and for a full or failing disk. The next command completes the move
 */
async function undoMove(
  tools: TreeTools,
  paths: WorktreePaths,
  ref: string,
  { from, to }: Move,
  error: unknown,
  signal: AbortSignal | undefined,
): Promise<void> {
  const isPassing = signal?.aborted || !(error instanceof AppError);
  if (isPassing || error.code === 'disk_full' || error.code === 'storage_unavailable') throw error;
  await forceMove(tools, paths, ref, { from: to, to: from }, signal).catch(() => {
    throw new AppError('workspace_tampered', `The workspace is between two commits: ${error.message}`, {
      cause: error,
      remedy:
        'Fix the problem in the detail, such as a folder without write permission. The next command completes the move.',
    });
  });
}

/**
 * Overwrites the files that differ between two commits with those of the second. Before the move started, they had no
 * uncommitted work. All other files stay unchanged.
 */
async function forceMove(
  tools: TreeTools,
  paths: WorktreePaths,
  ref: string,
  { from, to }: Move,
  signal: AbortSignal | undefined,
): Promise<void> {
  await withWorktree(tools, paths, signal, async (tree) => {
    const { git, writing } = tree;
    const { deleted, written } = await filesToChange(tree, from, to);
    await alignIndex(tree, from);
    const fromStdin = ['--pathspec-from-file=-', '--pathspec-file-nul'];
    if (deleted.length > 0) {
      const input = joinZ(deleted);
      await git.run(['rm', '--quiet', '--force', '--ignore-unmatch', ...fromStdin], { ...writing, input });
    }
    await alignIndex(tree, to);
    if (written.length > 0) {
      await git.run(['checkout-index', '--force', '-u', '-z', '--stdin'], { ...writing, input: joinZ(written) });
    }
    await publish(tree, ref, to);
  });
}

/** Lists the files that differ between two commits: those to delete, and those to write. */
async function filesToChange({ git, programs, workspace, indexed }: Worktree, from: string, to: string) {
  const { stdout } = await git.run(['diff-tree', '-r', '-z', '--no-renames', '--name-status', from, to], indexed);
  const records = splitZ(stdout);
  const removed: Buffer[] = [];
  const written: Buffer[] = [];
  for (let index = 0; index + 1 < records.length; index += 2) {
    const path = records[index + 1] ?? Buffer.alloc(0);
    (records[index]?.toString() === 'D' ? removed : written).push(path);
  }
  // A folder may exist already in place of a file, and git fails for a name that is too long.
  const kept = new Set((await programs.unremovable(workspace, removed)).map((path) => path.toString('latin1')));
  return { written, deleted: removed.filter((path) => !kept.has(path.toString('latin1'))) };
}

/** Resets the index to a commit, and keeps the cached stat data of unchanged files. */
async function alignIndex({ git, reading, indexed }: Worktree, commit: string): Promise<void> {
  await git.run(['read-tree', '--reset', commit], indexed);
  // Exit code 1 reports changed files, which are allowed.
  const refresh = ['update-index', '-q', '--refresh', '--ignore-submodules'] as const;
  await git.run(refresh, { ...reading, exitCodes: [0, 1] });
}

async function publish(tree: Worktree, ref: string, commit: string): Promise<void> {
  const { git, gitDir } = tree;
  await git.run(['update-ref', '-m', 'sync', ref, commit], { gitDir });
  await publishIndex(tree);
  await rm(join(gitDir, JOURNAL));
}

/** Returns the path in git's error: a changed file, or an untracked one where a new file belongs. */
function blockedPath(stderr: string): string {
  const blocked = /^error: (?:Entry|Untracked working tree file|Updating) '(.+)' (?:not uptodate|would)/m;
  const path = blocked.exec(stderr)?.[1];
  if (path !== undefined) return path;
  throw gitFailure({ command: 'read-tree', stdout: '', stderr, repo: undefined, hasToken: false, inWorkTree: true });
}

function readJournal(gitDir: string): Move | undefined {
  try {
    const [from, to] = readFileSync(join(gitDir, JOURNAL), 'utf8').split(' ');
    const isCommit = /^[0-9a-f]{40,64}$/;
    if (from !== undefined && to !== undefined && isCommit.test(from) && isCommit.test(to)) return { from, to };
    // The journal is incomplete, so the move had not started.
    rmSync(join(gitDir, JOURNAL));
    return undefined;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}
