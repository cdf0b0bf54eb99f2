import { randomUUID } from 'node:crypto';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { abortable } from '../../concurrency/abortable.ts';
import type { Layout } from '../../files/layout.ts';
import type { GitOptions } from '../../git/git.ts';
import type { UncompressedPacks } from '../../mirrors/uncompressed-packs.ts';
import { makeOwnedFolder } from '../../trees/owned-folder.ts';
import type { Trash } from '../../trees/trash.ts';
import { headOf, type OpenTicket, WORK_REF } from '../open-ticket.ts';
import { refuseWithoutRoom } from '../scan/tree-limits.ts';
import type { TreeScans } from '../scan/tree-scan.ts';
import { statusOf } from '../status.ts';
import { readRecord, writeRecord } from '../ticket-record.ts';
import { checkHead, touchedSubmodules } from '../worktree/checks.ts';
import { writeGitFile } from '../worktree/git-file.ts';
import { publishIndex } from '../worktree/scratch-results.ts';
import { type TreeTools, withWorktree } from '../worktree/snapshot.ts';

type Deps = { tools: TreeTools; layout: Layout; trash: Trash };
export type UnparkDeps = Deps & { uncompressedPacks: Pick<UncompressedPacks, 'objectsFor'>; scans: TreeScans };

/**
 * Removes the files of a workspace and keeps its git directory, from which they can be restored. Ignored files are lost.
 * @returns why the workspace was not parked; undefined when it is parked
 */
export async function park({ tools, layout, trash }: Deps, ticket: OpenTicket): Promise<string | undefined> {
  const { git } = tools;
  const { gitDir, workspace, branch } = ticket;
  if (ticket.parked) return undefined;
  checkHead(gitDir, branch);
  // Also part of `dirty`; checked first for a reason of its own.
  if ((await withWorktree(tools, ticket, undefined, touchedSubmodules)).length > 0) {
    return 'It has files in the folder of a submodule.';
  }
  const { dirty, unpushed } = await statusOf(tools, ticket);
  if (dirty) return 'It has uncommitted changes.';
  if (unpushed) return 'It has unpushed commits.';
  const record = readRecord(gitDir);
  if (record === undefined) return 'Its record is missing.';
  await git.run(['update-ref', '-d', WORK_REF], { gitDir });
  // Before the files: a workspace without files and without `parked_at` would count as never created.
  await writeRecord(gitDir, { ...record, parked_at: new Date().toISOString() });
  await trash.add(workspace, layout.tickets.trash);
  return undefined;
}

/**
 * Checks the files of a parked workspace out in a staging folder and publishes them by a rename.
 * @throws AppError `disk_full`; the errors of TreeScans. The ticket is then still parked
 */
export async function unpark(
  { tools, layout, trash, uncompressedPacks, scans }: UnparkDeps,
  ticket: OpenTicket,
  options: Pick<GitOptions, 'signal' | 'onProgress'>,
): Promise<void> {
  const { git, identities } = tools;
  const { gitDir, workspace } = ticket;
  const head = await headOf(git, ticket);
  const restored = (await git.query(gitDir).commit(WORK_REF)) ?? head;
  await refuseWithoutRoom(await abortable(scans.check(gitDir, restored), options.signal), layout.tickets.root);
  const staged = join(layout.tickets.staging, randomUUID());
  try {
    await makeOwnedFolder(identities, staged);
    const alternateObjects = await uncompressedPacks.objectsFor(ticket.mirror);
    await withWorktree(tools, { ...ticket, workspace: staged }, options.signal, async (worktree) => {
      const where = { ...worktree.writing, alternateObjects, onProgress: options.onProgress };
      await git.run(['read-tree', '--empty'], worktree.indexed);
      await git.run(['read-tree', '-m', '-u', '-v', restored], where);
      // Work that was uncommitted at the backup stays uncommitted.
      if (restored !== head) await git.run(['read-tree', '-m', head], worktree.indexed);
      await writeGitFile(staged, gitDir);
      await publishIndex(worktree);
    });
    await rename(staged, workspace);
  } finally {
    await trash.add(staged, layout.tickets.trash);
  }
  await git.run(['update-ref', '-d', WORK_REF], { gitDir });
  const record = readRecord(gitDir);
  if (record === undefined) return;
  const { parked_at: _, ...present } = record;
  await writeRecord(gitDir, present);
}
