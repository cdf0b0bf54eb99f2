import { readFileSync, rmSync } from 'node:fs';
import { lstat, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '../errors/app-error.ts';
import type { Git, GitOptions } from '../git/git.ts';
import { isMissing } from './file-errors.ts';
import { checkWorkspace, joinZ, type Place, pathIn, splitZ, withScratchIndex } from './snapshot.ts';

/** Name of the file that says from which commit to which a workspace is being moved. */
const JOURNAL = 'moving';

/**
 * Moves a workspace and its branch from one commit to another, keeping work that is not committed.
 * @returns a path whose work is in the way, with nothing touched; undefined when the move is done
 * @throws AppError of `halfWay` when it broke off in the middle
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
    return halfWay(async () => {
      await git.run(['read-tree', '-m', '-u', from, to], where);
      await publish(git, place, indexFile, ref, to);
      return undefined;
    });
  });
}

/**
 * Completes a move that was cut short. The files it was to change were checked to hold no uncommitted work before it
 * began, so they are brought to their final state by force; all others stay as they are.
 * @throws AppError of `halfWay`
 */
export async function finishMove(git: Git, place: Place, staging: string, ref: string): Promise<void> {
  const [from, to] = readJournal(place.gitDir);
  if (from === undefined || to === undefined) return;
  await checkWorkspace(place);
  const complete = async ({ indexFile }: { indexFile: string }) => {
    const where = { gitDir: place.gitDir, workTree: place.workspace, indexFile };
    const { stdout } = await git.run(['diff-tree', '-r', '-z', '--no-renames', '--name-status', from, to], where);
    const records = splitZ(stdout);
    const deleted: Buffer[] = [];
    const written: Buffer[] = [];
    for (let index = 0; index + 1 < records.length; index += 2) {
      const path = records[index + 1] ?? Buffer.alloc(0);
      if (records[index]?.toString() !== 'D') written.push(path);
      // Where a file gives way to a folder, the folder may be there already.
      else if (!(await isFolder(pathIn(place.workspace, path)))) deleted.push(path);
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
  };
  await halfWay(() => withScratchIndex(place.gitDir, staging, complete));
}

/**
 * Does what must not be left half done: until it is completed, the workspace holds files of two commits, and whoever worked in
 * it would lose that.
 * @throws AppError `workspace_tampered` for what git could not do, but for a disk that takes nothing
 */
async function halfWay<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof AppError) || error.code === 'disk_full' || error.code === 'storage_unavailable') throw error;
    throw new AppError('workspace_tampered', `The workspace is half-way between two commits: ${error.message}`, {
      cause: error,
      remedy: 'Mend what the detail names, such as a folder without write permission; the next command completes it.',
    });
  }
}

async function isFolder(path: Buffer): Promise<boolean> {
  return lstat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
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
  throw new AppError('internal', 'git could not tell whether the workspace may be changed.', {
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
