import { readFileSync, rmSync } from 'node:fs';
import { lstat, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, toAppError } from '../errors/app-error.ts';
import type { Git, GitOptions } from '../git/git.ts';
import { gitFailure } from '../git/git-failure.ts';
import { isMissing } from './file-errors.ts';
import { checkWorkspace, joinZ, type Place, pathIn, splitZ, withScratchIndex } from './snapshot.ts';

/** Name of the file that says from which commit to which a workspace is being moved. */
const JOURNAL = 'moving';

/**
 * Moves a workspace and its branch from one commit to another, keeping work that is not committed.
 * @returns a path whose work is in the way, with nothing touched; undefined when the move is done
 * @throws AppError `workspace_tampered` when the move failed and was undone; those of `undoMove`
 */
export async function moveWorkspace(
  git: Git,
  place: Place,
  staging: string,
  ref: string,
  from: string,
  to: string,
): Promise<string | undefined> {
  const { gitDir } = place;
  return withScratchIndex(gitDir, staging, async ({ indexFile }) => {
    const where = { gitDir, workTree: place.workspace, indexFile };
    await alignIndex(git, where, from);
    const check = await git.run(['read-tree', '-m', '-u', '--dry-run', from, to], { ...where, exitCodes: [0, 1, 128] });
    if (check.exitCode !== 0) return pathInTheWay(check.stderr);

    await writeFile(join(gitDir, JOURNAL), `${from} ${to}`, { flush: true });
    try {
      await git.run(['read-tree', '-m', '-u', from, to], where);
      await publish(git, place, indexFile, ref, to);
    } catch (error) {
      await undoMove(git, place, staging, ref, { from, to }, error);
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
 * @throws AppError those of `undoMove`
 */
export async function finishMove(git: Git, place: Place, staging: string, ref: string): Promise<void> {
  const [from, to] = readJournal(place.gitDir);
  if (from === undefined || to === undefined) return;
  await checkWorkspace(place);
  await forceMove(git, place, staging, ref, { from, to }).catch((error) =>
    undoMove(git, place, staging, ref, { from, to }, error),
  );
}

type Move = { from: string; to: string };

/**
 * Brings a workspace back to the commit it came from.
 * @throws AppError `workspace_tampered` when it stays between the two commits: whoever worked in it would lose that
 * @throws `error` itself for a full or failing disk: the next command completes the move when there is room again
 */
async function undoMove(
  git: Git,
  place: Place,
  staging: string,
  ref: string,
  { from, to }: Move,
  error: unknown,
): Promise<void> {
  if (!(error instanceof AppError) || error.code === 'disk_full' || error.code === 'storage_unavailable') throw error;
  await forceMove(git, place, staging, ref, { from: to, to: from }).catch(() => {
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
async function forceMove(git: Git, place: Place, staging: string, ref: string, { from, to }: Move): Promise<void> {
  await withScratchIndex(place.gitDir, staging, async ({ indexFile }) => {
    const where = { gitDir: place.gitDir, workTree: place.workspace, indexFile };
    const { stdout } = await git.run(['diff-tree', '-r', '-z', '--no-renames', '--name-status', from, to], where);
    const records = splitZ(stdout);
    const deleted: Buffer[] = [];
    const written: Buffer[] = [];
    for (let index = 0; index + 1 < records.length; index += 2) {
      const path = records[index + 1] ?? Buffer.alloc(0);
      if (records[index]?.toString() !== 'D') written.push(path);
      // Where a file gives way to a folder, the folder may be there already.
      else if (await canRemove(pathIn(place.workspace, path))) deleted.push(path);
    }
    await alignIndex(git, where, from);
    const fromStdin = ['--pathspec-from-file=-', '--pathspec-file-nul'];
    if (deleted.length > 0) {
      await git.run(['rm', '--quiet', '--force', '--ignore-unmatch', ...fromStdin], {
        ...where,
        input: joinZ(deleted),
      });
    }
    await alignIndex(git, where, to);
    if (written.length > 0) {
      await git.run(['checkout-index', '--force', '-u', '-z', '--stdin'], { ...where, input: joinZ(written) });
    }
    await publish(git, place, indexFile, ref, to);
  });
}

/** Whether `git rm` is to remove a path. Of a missing file it removes the empty folder; it fails at a name that is too long. */
async function canRemove(path: Buffer): Promise<boolean> {
  return lstat(path).then((found) => !found.isDirectory(), isMissing);
}

/** Makes an index that of a commit, keeping what it knows of the files that are the same. */
async function alignIndex(git: Git, where: GitOptions, commit: string): Promise<void> {
  await git.run(['read-tree', '--reset', commit], where);
  // Exit code 1 says that some file is changed, which is allowed.
  await git.run(['update-index', '-q', '--refresh', '--ignore-submodules'], { ...where, exitCodes: [0, 1] });
}

async function publish(git: Git, { gitDir }: Place, indexFile: string, ref: string, commit: string): Promise<void> {
  await git.run(['update-ref', '-m', 'sync', ref, commit], { gitDir });
  await rename(indexFile, join(gitDir, 'index'));
  await rm(join(gitDir, JOURNAL));
}

/** git names one path: changed, or not tracked and in the place of a new file. */
function pathInTheWay(stderr: string): string {
  const inTheWay = /^error: (?:Entry|Untracked working tree file|Updating) '(.+)' (?:not uptodate|would)/m;
  const path = inTheWay.exec(stderr)?.[1];
  if (path !== undefined) return path;
  throw gitFailure({ command: 'read-tree', stdout: '', stderr, repo: undefined, hasToken: false });
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
