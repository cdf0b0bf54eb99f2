import { randomUUID } from 'node:crypto';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { abortable } from '../../concurrency/abortable.ts';
import type { Layout } from '../../files/layout.ts';
import type { PlainPacks } from '../../mirrors/uncompressed-packs.ts';
import { makeOwnedFolder } from '../../trees/owned-folder.ts';
import type { Trash } from '../../trees/trash.ts';
import type { CheckoutOptions } from '../checkout/create-workspace.ts';
import { checkHead, touchedSubmodules } from '../commit/commit.ts';
import { type OpenTicket, WORK_REF } from '../open-ticket.ts';
import { refuseWithoutRoom } from '../scan/tree-limits.ts';
import type { TreeScans } from '../scan/tree-scan.ts';
import { statusOf } from '../status.ts';
import { headOf } from '../sync/sync.ts';
import { readRecord, writeRecord } from '../ticket-record.ts';
import { writeGitFile } from '../worktree/git-file.ts';
import { publishIndex } from '../worktree/scratch-results.ts';
import { type TreeTools, withWorktree } from '../worktree/snapshot.ts';

type Deps = { tools: TreeTools; layout: Layout; trash: Trash };
type UnparkDeps = Deps & { plainPacks: Pick<PlainPacks, 'objectsFor'>; scans: TreeScans };

/**
 * Removes the files of a workspace and keeps its git directory, from which they come back. Files that git ignores do not.
 * @returns why it was left as it is; undefined when it is parked now
 */
export async function park({ tools, layout, trash }: Deps, ticket: OpenTicket): Promise<string | undefined> {
  const { git } = tools;
  const { gitDir, workspace, branch } = ticket;
  if (ticket.parked) return undefined;
  checkHead(gitDir, branch);
  // Changes, too; but told by their own name.
  if ((await withWorktree(tools, ticket, undefined, touchedSubmodules)).length > 0) {
    return 'It holds files in the folder of a submodule.';
  }
  const { dirty, unpushed } = await statusOf(tools, ticket);
  if (dirty) return 'It holds changes that are not committed.';
  if (unpushed) return 'It holds commits that are not pushed.';
  const record = readRecord(gitDir);
  if (record === undefined) return 'Its record is gone.';
  await git.run(['update-ref', '-d', WORK_REF], { gitDir });
  // From here on, a workspace that is missing is one that was parked.
  await writeRecord(gitDir, { ...record, parked_at: new Date().toISOString() });
  await trash.add(workspace, layout.tickets.trash);
  return undefined;
}

/**
 * Checks the files of a parked workspace out again, aside, and publishes them by a rename; nothing else is needed.
 * @throws AppError `disk_full`; those of TreeScans, with the ticket still parked
 */
export async function unpark(
  { tools, layout, trash, plainPacks, scans }: UnparkDeps,
  ticket: OpenTicket,
  options: CheckoutOptions,
): Promise<void> {
  const { git, identities } = tools;
  const { gitDir, workspace } = ticket;
  const head = await headOf(git, ticket);
  const work = (await git.ask(gitDir).commit(WORK_REF)) ?? head;
  await refuseWithoutRoom(await abortable(scans.check(gitDir, work), options.signal), layout.tickets.root);
  const staged = join(layout.tickets.staging, randomUUID());
  try {
    await makeOwnedFolder(identities, staged);
    const alsoObjects = await plainPacks.objectsFor(ticket.mirror);
    await withWorktree(tools, { ...ticket, workspace: staged }, options.signal, async (worktree) => {
      const where = { ...worktree.writing, alsoObjects, onProgress: options.onProgress };
      await git.run(['read-tree', '--empty'], worktree.indexed);
      await git.run(['read-tree', '-m', '-u', '-v', work], where);
      // What was not committed when the ticket was saved is not committed now.
      if (work !== head) await git.run(['read-tree', '-m', head], worktree.indexed);
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
