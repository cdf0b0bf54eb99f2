import { randomUUID } from 'node:crypto';
import { copyFile, lstat, mkdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '../../errors/app-error.ts';
import { isMissing } from '../../files/errors.ts';
import { joinZ, splitZ } from '../../files/null-separated.ts';
import type { Git, GitOptions } from '../../git/git.ts';
import type { Identities } from '../../sandbox/identity.ts';
import type { TreePrograms } from '../../trees/tree-programs.ts';

/** A workspace, its git directory and the mirror from which that borrows objects. */
export type WorktreePaths = { workspace: string; gitDir: string; mirror: string };

/** The tools that work on the files of workspaces. */
export type TreeTools = {
  git: Git;
  programs: TreePrograms;
  identities: Identities;
  /** Folder for scratch folders. */
  staging: string;
};

/** A workspace with a temporary index and object directory. */
export type Worktree = WorktreePaths & {
  git: Git;
  programs: TreePrograms;
  scratch: string;
  /** Options of git commands that read the work tree, write it, or need the index and the objects only. */
  reading: GitOptions;
  writing: GitOptions;
  indexed: GitOptions;
  signal: AbortSignal | undefined;
};

/** Paths are bytes: a file name need not be text. */
export type Changes = {
  written: Buffer[];
  deleted: Buffer[];
  /** Folders with a nested repository, whose files git does not list. */
  nested: Buffer[];
  tooLarge: { path: Buffer; bytes: number }[];
};

/** GitHub refuses files above 100 MiB. */
export const MAX_FILE_BYTES = 95 * 1024 * 1024;

/**
 * Checks that the workspace is a folder, not a link to another one.
 * @throws AppError `workspace_tampered`
 */
export async function checkWorkspace({ workspace }: Pick<WorktreePaths, 'workspace'>): Promise<void> {
  const found = await lstat(workspace).catch(() => undefined);
  if (found?.isDirectory()) return;
  throw new AppError('workspace_tampered', 'The workspace is missing or is not a folder.');
}

/**
 * Runs a task with a copy of the index and an object directory in a scratch folder, and deletes the folder. git updates an
 * index in place under a lock. A copy that replaces the original leaves no lock and no incomplete index after a kill.
 * @param paths the workspace need not exist
 */
export async function withWorktree<T>(
  { git, programs, identities, staging }: TreeTools,
  paths: WorktreePaths,
  signal: AbortSignal | undefined,
  task: (tree: Worktree) => Promise<T>,
): Promise<T> {
  const scratch = join(staging, randomUUID());
  try {
    await prepareScratch(scratch, paths, identities);
    const view = { scratch, mirror: paths.mirror };
    const options = { gitDir: paths.gitDir, signal };
    return await task({
      ...paths,
      git,
      programs,
      scratch,
      reading: { ...options, view: { ...view, workTree: paths.workspace } },
      writing: { ...options, view: { ...view, workTree: paths.workspace, writes: true } },
      indexed: { ...options, view },
      signal,
    });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function prepareScratch(
  scratch: string,
  { workspace, gitDir }: WorktreePaths,
  identities: Identities,
): Promise<void> {
  const objects = join(scratch, 'objects');
  await mkdir(join(objects, 'info'), { recursive: true, mode: 0o755 });
  await writeFile(join(objects, 'info', 'alternates'), `${join(gitDir, 'objects')}\n`);
  await copyIndex(join(gitDir, 'index'), join(scratch, 'index'));
  // A parked ticket has no workspace; only objects are read.
  if (identities.owner(workspace) === undefined) await identities.assign(scratch);
  else await identities.share(workspace, [scratch]);
  await identities.share(scratch, [objects]);
}

/** Lists the differences between the workspace and its index, without ignored files. */
export async function listChanges({ git, programs, workspace, reading, signal }: Worktree): Promise<Changes> {
  const flags = ['-z', '--name-status', '--no-renames', '--ignore-submodules=all'];
  const [untracked, tracked, large] = await Promise.all([
    git.run(['ls-files', '-z', '--others', '--exclude-standard'], reading),
    git.run(['diff-files', ...flags], reading),
    programs.filesAbove(workspace, MAX_FILE_BYTES / 1024, signal),
  ]);

  const changes: Changes = { written: [], deleted: [], nested: [], tooLarge: [] };
  const candidates: Buffer[] = [];
  for (const path of splitZ(untracked.stdout)) {
    // git prints a trailing slash for a folder that it does not enter.
    if (path.at(-1) === SLASH) changes.nested.push(path.subarray(0, -1));
    else candidates.push(path);
  }
  const records = splitZ(tracked.stdout);
  for (let index = 0; index + 1 < records.length; index += 2) {
    const path = records[index + 1] ?? Buffer.alloc(0);
    if (records[index]?.toString() === 'D') changes.deleted.push(path);
    else candidates.push(path);
  }
  const isLarge = membership(large);
  changes.tooLarge = await programs.largeFiles(workspace, candidates.filter(isLarge), MAX_FILE_BYTES, signal);
  const isTooLarge = membership(changes.tooLarge.map(({ path }) => path));
  changes.written = candidates.filter((path) => !isTooLarge(path));
  return changes;
}

/**
 * Adds changes to the index and writes its tree to the scratch folder. It uses plumbing that reads only these paths and enters no
 * nested repository.
 * @returns the tree, and the names of files that git omits, since some file system treats them as `.git`
 */
export async function writeTree(
  { git, reading, indexed }: Worktree,
  changes: Pick<Changes, 'written' | 'deleted'>,
): Promise<{ tree: string; leftOut: string[] }> {
  const leftOut: string[] = [];
  // Deletions first: a file may replace a folder, or a folder a file.
  if (changes.deleted.length > 0) {
    const input = joinZ(changes.deleted);
    await git.run(['update-index', '-z', '--force-remove', '--stdin'], { ...reading, input });
  }
  if (changes.written.length > 0) {
    const flags = ['-z', '--add', '--remove', '--replace', '--stdin'];
    const { stderr } = await git.run(['update-index', ...flags], { ...reading, input: joinZ(changes.written) });
    leftOut.push(...[...stderr.matchAll(/^Ignoring path (.*)$/gm)].map(([, path = '']) => path));
  }
  const { stdout } = await git.run(['write-tree'], indexed);
  return { tree: stdout.toString().trim(), leftOut };
}

/**
 * Copies an index with its time. git treats a file as unchanged when its times and size match the index, unless it changed in the
 * second when the index was written. So the copy must not look newer; an older time only costs a few comparisons.
 */
async function copyIndex(from: string, to: string): Promise<void> {
  try {
    const { mtimeMs } = await stat(from);
    await copyFile(from, to);
    const seconds = Math.floor(mtimeMs / 1000);
    await utimes(to, seconds, seconds);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

/** Returns a test for membership in a list of paths. */
function membership(paths: readonly Buffer[]): (path: Buffer) => boolean {
  const texts = new Set(paths.map((path) => path.toString('latin1')));
  return (path) => texts.has(path.toString('latin1'));
}

const SLASH = 0x2f;
