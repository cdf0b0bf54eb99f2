import { chmod, mkdir, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { removeLeftovers } from '../../mirrors/stale-git-files.ts';
import type { WorkspaceContext } from '../context.ts';
import { findTicket } from '../open-ticket.ts';
import { finishMove } from '../worktree/move-workspace.ts';
import type { TreeTools } from '../worktree/snapshot.ts';
import { checkDirectoryPairing } from './directory-pairing.ts';

/**
 * Prepares the folders for use: creates them, removes the leftovers of a killed server and completes its moves. No git of this
 * server may be running.
 * @throws Error when TICKETS_ROOT does not belong to DATA_DIR
 */
export async function recoverFolders({ tools, layout, mirrors, trash, logger }: WorkspaceContext): Promise<void> {
  const { data, tickets } = layout;
  // Keeps other users of the machine from private code, and from set-id programs that an agent made.
  for (const folder of Object.values(data)) await makePrivate(folder);
  await chmod(dirname(data.tmp), 0o700);
  await checkDirectoryPairing(layout);
  for (const folder of [tickets.root, tickets.staging, tickets.trash, tickets.quarantine]) await makePrivate(folder);

  for (const name of await readdir(data.tmp)) await trash.add(join(data.tmp, name), data.trash);
  for (const name of await readdir(data.staging)) await trash.add(join(data.staging, name), data.trash);
  for (const name of await readdir(tickets.staging)) await trash.add(join(tickets.staging, name), tickets.trash);
  await trash.empty(data.trash);
  await trash.empty(tickets.trash);

  for (const name of await readdir(data.mirrors)) await removeLeftovers(join(data.mirrors, name), '.');
  const kept = new Set<string>();
  for (const name of await readdir(data.gitDirs)) {
    const ticketId = name.replace(/\.git$/, '');
    if (await tolerate(recoverTicket(ticketId, join(data.gitDirs, name)), { ticket_id: ticketId })) kept.add(ticketId);
  }
  for (const name of await readdir(data.mirrors)) {
    await tolerate(mirrors.releaseAllBut(join(data.mirrors, name), kept), { mirror: name });
  }

  /** Returns whether the ticket exists. */
  async function recoverTicket(ticketId: string, gitDir: string): Promise<boolean> {
    const ticket = await findTicket(tools.git, layout, ticketId);
    if (!ticket) {
      await trash.add(gitDir, data.trash);
      return false;
    }
    await removeLeftovers(gitDir, '.');
    if (ticket.parked) return true;
    await chmod(ticket.workspace, 0o700);
    await ownWorkspace(tools, ticket.workspace);
    await finishMove(tools, ticket, ticket.ref);
    return true;
  }

  /** Logs a failure, so that recovery continues. A broken ticket counts as existing, and fails when it is used. */
  async function tolerate<T>(promise: Promise<T>, about: object): Promise<T | true> {
    try {
      return await promise;
    } catch (err) {
      logger?.warn({ err, ...about }, 'failed to recover');
      return true;
    }
  }
}

async function makePrivate(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await chmod(folder, 0o700);
}

/** With a server that runs as root, root may own a workspace of an older version, or a copied one. */
async function ownWorkspace({ identities, programs }: TreeTools, workspace: string): Promise<void> {
  if (process.getuid?.() !== 0 || identities.owner(workspace) !== 0) return;
  await identities.assign(workspace);
  await programs.unifyOwner(workspace);
}
