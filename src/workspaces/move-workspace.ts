import { readFileSync, rmSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '../errors/app-error.ts';
import { isMissing } from './file-errors.ts';
import { joinZ, splitZ } from './null-separated.ts';
import { publishIndex } from './scratch-results.ts';
import { checkWorkspace, type Place, type TreeTools, type Worktree, withWorktree } from './snapshot.ts';

/** Name of the file that says from which commit to which a workspace is being moved. */
const JOURNAL = 'moving';

/**
 * Moves a workspace and its branch from one commit to another, keeping work that is not committed.
 * @returns a path whose work is in the way, with nothing touched; undefined when the move is done
 * @throws AppError of `halfWay` when it broke off in the middle
 */
export async function moveWorkspace(
  tools: TreeTools,
  place: Place,
  ref: string,
  from: string,
  to: string,
  signal?: AbortSignal,
): Promise<string | undefined> {
  const { git } = tools;
  const { gitDir } = place;
  return withWorktree(tools, place, signal, async (tree) => {
    await alignIndex(tree, from);
    const dryRun = ['read-tree', '-m', '-u', '--dry-run', from, to] as const;
    const check = await git.run(dryRun, { ...tree.reading, exitCodes: [0, 1, 128] });
    if (check.exitCode !== 0) return pathInTheWay(check.stderr);

    await writeFile(join(gitDir, JOURNAL), `${from} ${to}`, { flush: true });
    return halfWay(signal, async () => {
      await git.run(['read-tree', '-m', '-u', from, to], tree.writing);
      await publish(tree, ref, to);
      return undefined;
    });
  });
}

/**
 * Completes a move that was cut short. The files it was to change were checked to hold no uncommitted work before it
 * began, so they are brought to their final state by force; all others stay as they are.
 * @throws AppError of `halfWay`
 */
export async function finishMove(tools: TreeTools, place: Place, ref: string, signal?: AbortSignal): Promise<void> {
  const [from, to] = readJournal(place.gitDir);
  if (from === undefined || to === undefined) return;
  await checkWorkspace(place);
  const complete = async (tree: Worktree) => {
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
  };
  await halfWay(signal, () => withWorktree(tools, place, signal, complete));
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
  // Where a file gives way to a folder, the folder may be there already.
  const folders = new Set((await programs.folders(workspace, gone)).map((path) => path.toString('latin1')));
  return { written, deleted: gone.filter((path) => !folders.has(path.toString('latin1'))) };
}

/**
 * Does what must not be left half done: until it is completed, the workspace holds files of two commits, and whoever worked in
 * it would lose that.
 * @throws AppError `workspace_tampered` for what git could not do, but for a disk that takes nothing
 */
async function halfWay<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (
      !(error instanceof AppError) ||
      signal?.aborted ||
      error.code === 'disk_full' ||
      error.code === 'storage_unavailable'
    )
      throw error;
    throw new AppError('workspace_tampered', `The workspace is half-way between two commits: ${error.message}`, {
      cause: error,
      remedy: 'Mend what the detail names, such as a folder without write permission; the next command completes it.',
    });
  }
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

/** git names one path: changed, or not tracked and in the place of a new file. */
function pathInTheWay(stderr: string): string {
  const inTheWay = /^error: (?:Entry|Untracked working tree file|Updating) '(.+)' (?:not uptodate|would)/m;
  const path = inTheWay.exec(stderr)?.[1];
  if (path !== undefined) return path;
  throw new AppError('workspace_tampered', 'git could not tell whether the workspace may be changed.', {
    cause: new Error(stderr),
  });
}

function readJournal(gitDir: string): (string | undefined)[] {
  try {
    const [from, to] = readFileSync(join(gitDir, JOURNAL), 'utf8').split(' ');
    const isCommit = /^[0-9a-f]{40,64}$/;
    if (isCommit.test(from ?? '') && isCommit.test(to ?? '')) return [from, to];
    // The journal itself was cut short: the move had not begun.
    rmSync(join(gitDir, JOURNAL));
    return [];
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}
