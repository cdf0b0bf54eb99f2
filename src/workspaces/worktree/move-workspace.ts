import { readFileSync, rmSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, toAppError } from '../../errors/app-error.ts';
import { isMissing } from '../../files/errors.ts';
import { joinZ, splitZ } from '../../files/null-separated.ts';
import { gitFailure } from '../../git/failure.ts';
import { publishIndex } from './scratch-results.ts';
import { checkWorkspace, type TreeTools, type Worktree, type WorktreePaths, withWorktree } from './snapshot.ts';

/** Name of the file that says from which commit to which a workspace is being moved. */
const JOURNAL = 'moving';

/**
 * Moves a workspace and its branch from one commit to another, keeping work that is not committed.
 * @returns a path whose work is in the way, with nothing touched; undefined when the move is done
 * @throws AppError `workspace_tampered` when the move failed and was undone; those of `undoMove`; as the signal says, and then the
 *   next command completes the move
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
    if (check.exitCode !== 0) return pathInTheWay(check.stderr);

    await writeFile(join(paths.gitDir, JOURNAL), `${from} ${to}`, { flush: true });
    try {
      await git.run(['read-tree', '-m', '-u', from, to], tree.writing);
      await publish(tree, ref, to);
    } catch (error) {
      await undoMove(tools, paths, ref, move, error, signal);
      throw new AppError('workspace_tampered', `The new commits were not brought in: ${toAppError(error).message}`, {
        cause: error,
        remedy: 'Fix what the detail names, such as a folder without write permission; the next command tries again.',
      });
    }
    return undefined;
  });
}

/**
 * Completes a move that was cut short, or undoes it where it cannot be completed.
 * @throws AppError those of `undoMove`; as the signal says
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

/** Two commits. */
export type Move = { from: string; to: string };

/**
 * Brings a workspace back to the commit it came from.
 * @throws AppError `workspace_tampered` when it stays between the two commits: whoever worked in it would lose that
 * @throws `error` itself after an abort, and for a full or failing disk: the next command completes the move
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
    throw new AppError('workspace_tampered', `The workspace is half-way between two commits: ${error.message}`, {
      cause: error,
      remedy: 'Fix what the detail names, such as a folder without write permission; the next command completes it.',
    });
  });
}

/**
 * Brings the files that differ between two commits to those of the second, whatever state they are in. They were checked to
 * hold no uncommitted work before the move began; all other files stay as they are.
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

/** The files that differ between two commits: those to delete, and those to write. */
async function filesToChange({ git, programs, workspace, indexed }: Worktree, from: string, to: string) {
  const { stdout } = await git.run(['diff-tree', '-r', '-z', '--no-renames', '--name-status', from, to], indexed);
  const records = splitZ(stdout);
  const gone: Buffer[] = [];
  const written: Buffer[] = [];
  for (let index = 0; index + 1 < records.length; index += 2) {
    const path = records[index + 1] ?? Buffer.alloc(0);
    (records[index]?.toString() === 'D' ? gone : written).push(path);
  }
  // Where a file gives way to a folder, the folder may exist already. git fails at a name that is too long.
  const kept = new Set((await programs.unremovable(workspace, gone)).map((path) => path.toString('latin1')));
  return { written, deleted: gone.filter((path) => !kept.has(path.toString('latin1'))) };
}

/** Makes an index that of a commit, keeping what it knows of the files that are the same. */
async function alignIndex({ git, reading, indexed }: Worktree, commit: string): Promise<void> {
  await git.run(['read-tree', '--reset', commit], indexed);
  // Exit code 1 says that some file is changed, which is allowed.
  const refresh = ['update-index', '-q', '--refresh', '--ignore-submodules'] as const;
  await git.run(refresh, { ...reading, exitCodes: [0, 1] });
}

async function publish(tree: Worktree, ref: string, commit: string): Promise<void> {
  const { git, gitDir } = tree;
  await git.run(['update-ref', '-m', 'sync', ref, commit], { gitDir });
  await publishIndex(tree);
  await rm(join(gitDir, JOURNAL));
}

/** git names one path: changed, or not tracked and in the paths of a new file. */
function pathInTheWay(stderr: string): string {
  const inTheWay = /^error: (?:Entry|Untracked working tree file|Updating) '(.+)' (?:not uptodate|would)/m;
  const path = inTheWay.exec(stderr)?.[1];
  if (path !== undefined) return path;
  throw gitFailure({ command: 'read-tree', stdout: '', stderr, repo: undefined, hasToken: false, inWorkTree: true });
}

function readJournal(gitDir: string): Move | undefined {
  try {
    const [from, to] = readFileSync(join(gitDir, JOURNAL), 'utf8').split(' ');
    const isCommit = /^[0-9a-f]{40,64}$/;
    if (from !== undefined && to !== undefined && isCommit.test(from) && isCommit.test(to)) return { from, to };
    // The journal itself was cut short: the move had not begun.
    rmSync(join(gitDir, JOURNAL));
    return undefined;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}
