import { copyFile, link } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { AppError, storageFailure, toAppError } from '../../errors/app-error.ts';
import { copyFolder, forEachEntry } from '../../files/copy-folder.ts';
import { hasCode } from '../../files/errors.ts';
import { uncompressedObjects } from '../../mirrors/uncompressed-packs.ts';
import { headOf, type OpenTicket, WORK_REF } from '../open-ticket.ts';
import { readRecord, writeRecord } from '../ticket-record.ts';
import { printable } from '../worktree/format-paths.ts';
import { finishMove } from '../worktree/move-workspace.ts';
import { keepObjects } from '../worktree/scratch-results.ts';
import { checkWorkspace, listChanges, type TreeTools, withWorktree, writeTree } from '../worktree/snapshot.ts';

/**
 * Copies the git directory of a ticket. The copy is parked, and has a commit of the whole workspace besides the branch. The ticket
 * itself stays unchanged, except that an interrupted move is completed.
 * @param folder the copy, which borrows from the same mirror
 * @returns descriptions of the parts that were not copied, for a person
 * @throws the reason of the signal
 */
export async function backupTicket(
  tools: TreeTools,
  ticket: OpenTicket,
  folder: string,
  signal?: AbortSignal,
): Promise<string[]> {
  const lost: string[] = [];
  if (!ticket.parked) {
    await finishMove(tools, ticket, ticket.ref, signal).catch((error) => {
      signal?.throwIfAborted();
      // The journal is copied too, so the move is completed after a restore.
      lost.push(`the end of a move to other commits: ${failureReason(error)}`);
    });
  }
  await copyFolder(ticket.gitDir, folder, isComplete);
  const record = readRecord(folder);
  if (record !== undefined) await writeRecord(folder, { parked_at: new Date().toISOString(), ...record });
  if (ticket.parked) return lost;
  try {
    lost.push(...(await backupUncommitted(tools, ticket, folder, signal)));
  } catch (error) {
    signal?.throwIfAborted();
    lost.push(`uncommitted work: ${failureReason(error)}`);
  }
  return lost;
}

/**
 * Returns why a broken ticket was not backed up, so that the backup continues with the others.
 * @throws the given error for a full or failing disk that Node found. git's output is not evidence: it may be a file name
 */
export function failureReason(error: unknown): string {
  if (storageFailure(error) ?? (error instanceof AppError && storageFailure(error.cause))) throw error;
  return toAppError(error).message;
}

async function backupUncommitted(
  tools: TreeTools,
  ticket: OpenTicket,
  gitDir: string,
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const { git } = tools;
  await checkWorkspace(ticket);
  return withWorktree(tools, { ...ticket, gitDir }, signal, async (worktree) => {
    const changes = await listChanges(worktree);
    const { tree } = await writeTree(worktree, changes);
    const head = await headOf(git, ticket);
    if (tree !== (await git.query(ticket.gitDir).tree(head))) {
      await keepObjects(git, worktree, tree, head);
      const { stdout } = await git.run(['commit-tree', '-p', head, tree], { gitDir, input: 'Uncommitted work\n' });
      await git.run(['update-ref', WORK_REF, stdout.toString().trim()], { gitDir });
    }
    return [
      ...changes.nested.map((path) => `${printable(path)}, a git repository of its own`),
      ...changes.tooLarge.map(({ path }) => `${printable(path)}, which is too large for GitHub`),
    ];
  });
}

/** Copies a mirror. It must not be repacked meanwhile. The refs are copied first, so the objects that they need exist. */
export async function backupMirror(mirror: string, folder: string): Promise<void> {
  const objects = join(mirror, 'objects');
  const excluded = [objects, uncompressedObjects(mirror)];
  await copyFolder(mirror, folder, (path) => !excluded.includes(path) && isComplete(path));
  await linkFolder(objects, join(folder, 'objects'));
}

/** Links files instead of copying: git never changes an object or a pack. */
async function linkFolder(from: string, to: string): Promise<void> {
  await forEachEntry(from, to, async (source, target, kind) => {
    if (!isComplete(source)) return;
    if (kind === 'folder') return linkFolder(source, target);
    await link(source, target).catch((error) => {
      if (!hasCode(error, 'EXDEV') && !hasCode(error, 'EPERM') && !hasCode(error, 'EMLINK')) throw error;
      return copyFile(source, target);
    });
  });
}

/** Excludes locks and temporary files. */
function isComplete(path: string): boolean {
  const name = basename(path);
  return !name.endsWith('.lock') && !name.startsWith('tmp_') && !name.startsWith('.tmp-');
}
