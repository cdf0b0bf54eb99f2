import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Layout } from '../../files/layout.ts';
import { removeUnusedMirror, repackMirror } from '../../mirrors/mirror-maintenance.ts';
import type { WorkspaceContext } from '../context.ts';
import { findTicket, openTicket } from '../open-ticket.ts';
import { finishMove } from '../worktree/move-workspace.ts';
import { backupMirror, backupTicket, failureReason } from './backup-ticket.ts';
import { park } from './parking.ts';

export type Maintenance = ReturnType<typeof createMaintenance>;

type LeftOut = { ticket_id: string; what: string };

/** Creates the background work on workspaces and mirrors: park, repack, remove, back up. */
export function createMaintenance(context: WorkspaceContext) {
  const { git, tools, layout, trash, mirrorLock, spareCheckouts, ticketLock } = context;

  /** Backs up one ticket, and returns its mirror. */
  async function backUp(ticketId: string, copy: string, leftOut: LeftOut[], signal: AbortSignal | undefined) {
    const ticket = await findTicket(git, layout, ticketId);
    if (ticket === undefined) return undefined;
    const lost = await backupTicket(tools, ticket, copy, signal);
    leftOut.push(...lost.map((what) => ({ ticket_id: ticketId, what })));
    return ticket.mirror;
  }

  return {
    /**
     * Parks a workspace whose work is all pushed.
     * @param isIdle called with the lock of the ticket held; a command that arrives later restores the workspace
     * @returns why the workspace was not parked
     * @throws AppError `ticket_not_found`, `workspace_tampered`
     */
    park(ticketId: string, isIdle: () => Promise<boolean>): Promise<string | undefined> {
      return ticketLock(ticketId, undefined, async () => {
        const ticket = await openTicket(git, layout, ticketId);
        if (ticket.parked) return undefined;
        if (!(await isIdle())) return 'It is in use.';
        await finishMove(tools, ticket, ticket.ref);
        return park(context, ticket);
      });
    },

    /**
     * Repacks the mirrors that have many small files.
     * @param busyRepos URLs of repositories with a running run, which are skipped
     * @returns the number of repacked mirrors
     */
    async repackMirrors(busyRepos: readonly string[], closing: AbortSignal): Promise<number> {
      const busy = new Set(busyRepos.map((url) => layout.mirror(url)));
      let repacked = 0;
      for (const mirror of await mirrorsIn(layout)) {
        if (closing.aborted || busy.has(mirror)) continue;
        if (await repackMirror(git, mirrorLock, mirror, closing)) repacked += 1;
      }
      return repacked;
    },

    /**
     * Removes all spare checkouts, and the mirrors that no ticket borrows from. A later ticket creates them again.
     * @returns the number of removed mirrors
     */
    async removeUnusedMirrors(): Promise<number> {
      await spareCheckouts.clear();
      let removed = 0;
      for (const mirror of await mirrorsIn(layout)) {
        if (await removeUnusedMirror(git, mirrorLock, mirror, join(layout.data.trash, randomUUID()))) removed += 1;
      }
      await trash.empty(layout.data.trash);
      return removed;
    },

    /**
     * Copies all tickets and their mirrors to the folders `gitdirs` and `mirrors` of a folder. The copies are parked and include
     * uncommitted work.
     * @throws the reason of the signal
     */
    async backup(folder: string, signal?: AbortSignal): Promise<{ tickets: string[]; leftOut: LeftOut[] }> {
      const tickets: string[] = [];
      const leftOut: LeftOut[] = [];
      const mirrors = new Set<string>();
      await mkdir(join(folder, 'gitdirs'), { recursive: true });
      await mkdir(join(folder, 'mirrors'), { recursive: true });
      for (const name of await readdir(layout.data.gitDirs)) {
        signal?.throwIfAborted();
        const ticketId = name.replace(/\.git$/, '');
        const copy = join(folder, 'gitdirs', name);
        try {
          const mirror = await ticketLock(ticketId, signal, () => backUp(ticketId, copy, leftOut, signal));
          if (mirror === undefined) continue;
          tickets.push(ticketId);
          mirrors.add(mirror);
        } catch (error) {
          signal?.throwIfAborted();
          leftOut.push({ ticket_id: ticketId, what: `all of it: ${failureReason(error)}` });
          await rm(copy, { recursive: true, force: true });
        }
      }
      // Last, so that they have all objects that the copied tickets borrow.
      for (const mirror of mirrors) {
        signal?.throwIfAborted();
        await mirrorLock.shared(mirror, () => backupMirror(mirror, join(folder, 'mirrors', basename(mirror))));
      }
      return { tickets, leftOut };
    },

    /** Queues the leftovers in the trash folders for deletion. */
    async emptyTrash(): Promise<void> {
      await trash.empty(layout.data.trash);
      await trash.empty(layout.tickets.trash);
    },

    /** Resolves when all queued trash is deleted. */
    trashEmptied: () => trash.idle(),
  };
}

async function mirrorsIn(layout: Layout): Promise<string[]> {
  return (await readdir(layout.data.mirrors)).map((name) => join(layout.data.mirrors, name));
}
