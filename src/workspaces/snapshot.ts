import { randomUUID } from 'node:crypto';
import { copyFile, lstat, mkdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '../errors/app-error.ts';
import type { Git } from '../git/git.ts';
import { isMissing } from './file-errors.ts';

export type Place = { workspace: string; gitDir: string };

/** Paths as bytes: a file name need not be text. */
export type Changes = {
  written: Buffer[];
  deleted: Buffer[];
  /** Folders with a repository of their own in them, whose files git does not list. */
  nested: Buffer[];
  tooLarge: { path: Buffer; bytes: number }[];
};

/** GitHub refuses files above 100 MiB. */
export const MAX_FILE_BYTES = 95 * 1024 * 1024;

/**
 * Makes sure the workspace is still the folder the server made, not a link to another place.
 * @throws AppError `workspace_tampered`
 */
export async function checkWorkspace({ workspace }: Place): Promise<void> {
  const found = await lstat(workspace).catch(() => undefined);
  if (found?.isDirectory()) return;
  throw new AppError('workspace_tampered', 'The workspace is missing, or is not a folder any more.');
}

/**
 * Lends an index to work with, like the ticket's own, in a folder that is deleted in the end. git updates an index in
 * place under a lock; a copy that is moved over the original leaves neither a lock nor a half-done index when killed.
 */
export async function withScratchIndex<T>(
  gitDir: string,
  staging: string,
  work: (scratch: { folder: string; indexFile: string }) => Promise<T>,
): Promise<T> {
  const folder = join(staging, randomUUID());
  const indexFile = join(folder, 'index');
  await mkdir(folder);
  try {
    await copyIndex(join(gitDir, 'index'), indexFile);
    return await work({ folder, indexFile });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** What differs between the workspace and an index, as far as git is to know of it: ignored files are left out. */
export async function listChanges(git: Git, place: Place, indexFile: string): Promise<Changes> {
  const where = { gitDir: place.gitDir, workTree: place.workspace, indexFile };
  const untracked = await git.run(['ls-files', '-z', '--others', '--exclude-standard'], where);
  const tracked = await git.run(
    ['diff-files', '-z', '--name-status', '--no-renames', '--ignore-submodules=all'],
    where,
  );

  const changes: Changes = { written: [], deleted: [], nested: [], tooLarge: [] };
  const candidates: Buffer[] = [];
  for (const path of splitZ(untracked.stdout)) {
    // A trailing slash is how git shows a folder it will not enter.
    if (path.at(-1) === SLASH) changes.nested.push(path.subarray(0, -1));
    else candidates.push(path);
  }
  const records = splitZ(tracked.stdout);
  for (let index = 0; index + 1 < records.length; index += 2) {
    const path = records[index + 1] ?? Buffer.alloc(0);
    if (records[index]?.toString() === 'D') changes.deleted.push(path);
    else candidates.push(path);
  }
  for (const path of candidates) {
    const bytes = await fileSize(place.workspace, path);
    if (bytes > MAX_FILE_BYTES) changes.tooLarge.push({ path, bytes });
    else changes.written.push(path);
  }
  return changes;
}

/**
 * Puts changes into an index and makes a tree of it, by plumbing that reads these very paths and enters no repository.
 * @param objects where new objects go; the ticket's own git directory when left out
 * @returns the tree, and the names of files that git leaves out of every tree, since some file system takes them for
 *   `.git`
 */
export async function writeTree(
  git: Git,
  place: Place,
  indexFile: string,
  changes: Changes,
  objects?: string,
): Promise<{ tree: string; leftOut: string[] }> {
  const where = {
    gitDir: place.gitDir,
    workTree: place.workspace,
    indexFile,
    ...(objects === undefined ? {} : { objects }),
  };
  const leftOut: string[] = [];
  // Deletions first: a file may have taken the place of a folder, or the other way round.
  if (changes.deleted.length > 0) {
    await git.run(['update-index', '-z', '--force-remove', '--stdin'], { ...where, input: joinZ(changes.deleted) });
  }
  if (changes.written.length > 0) {
    const flags = ['-z', '--add', '--remove', '--replace', '--stdin'];
    const { stderr } = await git.run(['update-index', ...flags], { ...where, input: joinZ(changes.written) });
    leftOut.push(...[...stderr.matchAll(/^Ignoring path (.*)$/gm)].map(([, path = '']) => path));
  }
  const { stdout } = await git.run(['write-tree'], where);
  return { tree: stdout.toString().trim(), leftOut };
}

/**
 * The tree a commit would have now, without a trace left: for looking at work that is not committed.
 * @param use called with the tree and the folder that holds its new objects, which is gone afterwards
 */
export async function withWorkingTree<T>(
  git: Git,
  place: Place,
  staging: string,
  use: (view: { tree: string; objects: string; complete: boolean }) => Promise<T>,
): Promise<T> {
  return withScratchIndex(place.gitDir, staging, async ({ folder, indexFile }) => {
    const objects = join(folder, 'objects');
    await mkdir(join(objects, 'info'), { recursive: true });
    await writeFile(join(objects, 'info', 'alternates'), `${join(place.gitDir, 'objects')}\n`);
    const changes = await listChanges(git, place, indexFile);
    const { tree } = await writeTree(git, place, indexFile, changes, objects);
    return use({ tree, objects, complete: changes.nested.length === 0 && changes.tooLarge.length === 0 });
  });
}

/**
 * git takes a file for unchanged when its times and size are those in the index, unless it was changed in the second
 * the index was written. So a copy must not look younger than the original; older, it only costs a few comparisons.
 */
async function copyIndex(from: string, to: string): Promise<void> {
  const { mtimeMs } = await stat(from);
  await copyFile(from, to);
  const seconds = Math.floor(mtimeMs / 1000);
  await utimes(to, seconds, seconds);
}

async function fileSize(workspace: string, path: Buffer): Promise<number> {
  try {
    const found = await lstat(pathIn(workspace, path));
    return found.isFile() ? found.size : 0;
  } catch (error) {
    if (isMissing(error)) return 0;
    throw error;
  }
}

export function pathIn(workspace: string, path: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${workspace}/`), path]);
}

const SLASH = 0x2f;

/** Splits what `-z` prints, or joins what it reads. */
export function splitZ(output: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  let start = 0;
  for (let end = output.indexOf(0); end !== -1; end = output.indexOf(0, start)) {
    parts.push(output.subarray(start, end));
    start = end + 1;
  }
  return parts;
}

export function joinZ(paths: readonly Buffer[]): Buffer {
  return Buffer.concat(paths.flatMap((path) => [path, Buffer.of(0)]));
}
