import { copyFile, link } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { AppError, storageFailure, toAppError } from '../../errors/app-error.ts';
import { copyFolder, forEachEntry } from '../../files/copy-folder.ts';
import { hasCode } from '../../files/errors.ts';
import { plainObjects } from '../../mirrors/uncompressed-packs.ts';
import { type OpenTicket, WORK_REF } from '../open-ticket.ts';
import { headOf } from '../sync/sync.ts';
import { readRecord, writeRecord } from '../ticket-record.ts';
import { shown } from '../worktree/format-paths.ts';
import { finishMove } from '../worktree/move-workspace.ts';
import { keepObjects } from '../worktree/scratch-results.ts';
import { checkWorkspace, listChanges, type TreeTools, withWorktree, writeTree } from '../worktree/snapshot.ts';

/**
 * Copies a ticket's git directory into a folder, as that of a parked ticket, with a commit of all that the workspace
 * holds beside the branch. The ticket itself is left as it is, but for a move that was cut short, which is completed.
 * @param folder becomes the git directory; it still borrows the mirror's objects
 * @returns what could not be kept, for a person
 * @throws the reason of the signal
 */
export async function saveTicket(
  tools: TreeTools,
  ticket: OpenTicket,
  folder: string,
  signal?: AbortSignal,
): Promise<string[]> {
  const lost: string[] = [];
  if (!ticket.parked) {
    await finishMove(tools, ticket, ticket.ref, signal).catch((error) => {
      signal?.throwIfAborted();
      // What says so is copied, too: the move is completed where the ticket comes back.
      lost.push(`the end of a move to other commits: ${whyNotSaved(error)}`);
    });
  }
  await copyFolder(ticket.gitDir, folder, isWhole);
  const record = readRecord(folder);
  if (record !== undefined) await writeRecord(folder, { parked_at: new Date().toISOString(), ...record });
  if (ticket.parked) return lost;
  try {
    lost.push(...(await saveWork(tools, ticket, folder, signal)));
  } catch (error) {
    signal?.throwIfAborted();
    lost.push(`what is not committed: ${whyNotSaved(error)}`);
  }
  return lost;
}

/**
 * Returns the reason why a ticket that somebody broke is not saved: it must not keep all the others from being saved.
 * @throws the given error, when it is one of Node about a disk that takes nothing; git's words may be the name of a file
 */
export function whyNotSaved(error: unknown): string {
  if (storageFailure(error) ?? (error instanceof AppError && storageFailure(error.cause))) throw error;
  return toAppError(error).message;
}

async function saveWork(
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
    if (tree !== (await git.ask(ticket.gitDir).tree(head))) {
      await keepObjects(git, worktree, tree, head);
      const { stdout } = await git.run(['commit-tree', '-p', head, tree], { gitDir, input: 'Uncommitted work\n' });
      await git.run(['update-ref', WORK_REF, stdout.toString().trim()], { gitDir });
    }
    return [
      ...changes.nested.map((path) => `${shown(path)}, a git repository of its own`),
      ...changes.tooLarge.map(({ path }) => `${shown(path)}, which is too large for git`),
    ];
  });
}

/** Copies a mirror that nobody repacks meanwhile. Its refs first: what they lead to is there by then. */
export async function saveMirror(mirror: string, folder: string): Promise<void> {
  const objects = join(mirror, 'objects');
  const leftOut = [objects, plainObjects(mirror)];
  await copyFolder(mirror, folder, (path) => !leftOut.includes(path) && isWhole(path));
  await linkFolder(objects, join(folder, 'objects'));
}

/** git never changes an object or a pack, so that a second name is as good as a copy. */
async function linkFolder(from: string, to: string): Promise<void> {
  await forEachEntry(from, to, async (source, target, kind) => {
    if (!isWhole(source)) return;
    if (kind === 'folder') return linkFolder(source, target);
    await link(source, target).catch((error) => {
      if (!hasCode(error, 'EXDEV') && !hasCode(error, 'EPERM') && !hasCode(error, 'EMLINK')) throw error;
      return copyFile(source, target);
    });
  });
}

/** No lock, and no half of a file. */
function isWhole(path: string): boolean {
  const name = basename(path);
  return !name.endsWith('.lock') && !name.startsWith('tmp_') && !name.startsWith('.tmp-');
}
