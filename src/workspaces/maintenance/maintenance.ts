import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { WorkspaceState } from '../../../schemas/ticket.ts';
import type { KeyedMutex } from '../../concurrency/keyed-mutex.ts';
import { tellFullDisk } from '../../files/errors.ts';
import type { Layout } from '../../files/layout.ts';
import type { MirrorCare } from '../../mirrors/mirror-lock.ts';
import type { Trash } from '../../trees/trash.ts';
import type { SpareCheckouts } from '../checkout/spare-checkouts.ts';
import { findTicket, openTicket } from '../open-ticket.ts';
import { finishMove } from '../worktree/move-workspace.ts';
import type { TreeTools } from '../worktree/snapshot.ts';
import { saveMirror, saveTicket, whyNotSaved } from './backup-ticket.ts';
import { park } from './parking.ts';

export type Upkeep = ReturnType<typeof createUpkeep>;

/** What keeps the folders of workspaces and mirrors small. */
export function createUpkeep(deps: {
  tools: TreeTools;
  layout: Layout;
  trash: Trash;
  care: MirrorCare;
  spareCheckouts: SpareCheckouts;
  oneAtATime: KeyedMutex;
}) {
  const { tools, layout, trash, care, spareCheckouts, oneAtATime } = deps;
  const { git } = tools;

  return {
    async place(ticketId: string): Promise<WorkspaceState> {
      const ticket = await findTicket(git, layout, ticketId);
      if (ticket === undefined) return 'missing';
      return ticket.parked ? 'parked' : 'present';
    },

    /**
     * Parks a workspace whose work is all pushed.
     * @param isIdle asked when nothing else can begin with the workspace: a command that comes later brings it back
     * @returns why it was left as it is
     * @throws AppError `ticket_not_found`, `workspace_tampered`
     */
    park(ticketId: string, isIdle: () => Promise<boolean>): Promise<string | undefined> {
      return oneAtATime(ticketId.toLowerCase(), undefined, async () => {
        const ticket = await openTicket(git, layout, ticketId);
        if (ticket.parked) return undefined;
        if (!(await isIdle())) return 'It is in use.';
        await finishMove(tools, ticket, ticket.ref);
        return park({ tools, layout, trash }, ticket);
      }).catch((error) => {
        throw tellFullDisk(error);
      });
    },

    /**
     * Packs the mirrors that have gathered many small files.
     * @param busyRepos URLs of repositories that a run works with; these are left alone
     * @returns how many were packed
     */
    async packMirrors(busyRepos: readonly string[], closing: AbortSignal): Promise<number> {
      const busy = new Set(busyRepos.map((url) => layout.mirror(url)));
      let packed = 0;
      for (const mirror of await mirrors(layout)) {
        if (!closing.aborted && !busy.has(mirror) && (await care.pack(mirror, closing))) packed += 1;
      }
      return packed;
    },

    /** Removes the mirrors that no ticket borrows from, and all spare checkouts: a later ticket makes them again. Tells how many mirrors. */
    async removeUnusedMirrors(): Promise<number> {
      await spareCheckouts.clear();
      let removed = 0;
      for (const mirror of await mirrors(layout)) {
        if (await care.removeUnused(mirror, join(layout.data.trash, randomUUID()))) removed += 1;
      }
      await trash.empty(layout.data.trash);
      return removed;
    },

    /**
     * Copies every ticket, parked and with its uncommitted work, and the mirrors they borrow from into `gitdirs` and
     * `mirrors` of a folder.
     * @throws the reason of the signal
     */
    async save(
      folder: string,
      signal?: AbortSignal,
    ): Promise<{ tickets: string[]; leftOut: { ticket_id: string; what: string }[] }> {
      const tickets: string[] = [];
      const leftOut: { ticket_id: string; what: string }[] = [];
      const borrowed = new Set<string>();
      await mkdir(join(folder, 'gitdirs'), { recursive: true });
      await mkdir(join(folder, 'mirrors'), { recursive: true });
      for (const name of await readdir(layout.data.gitDirs)) {
        signal?.throwIfAborted();
        const ticketId = name.replace(/\.git$/, '');
        const copy = join(folder, 'gitdirs', name);
        const saving = oneAtATime(ticketId.toLowerCase(), signal, async () => {
          const ticket = await findTicket(git, layout, ticketId);
          if (ticket === undefined) return;
          const lost = await saveTicket(tools, ticket, copy, signal);
          tickets.push(ticketId);
          leftOut.push(...lost.map((what) => ({ ticket_id: ticketId, what })));
          borrowed.add(ticket.mirror);
        });
        await saving.catch(async (error) => {
          signal?.throwIfAborted();
          leftOut.push({ ticket_id: ticketId, what: `all of it: ${whyNotSaved(error)}` });
          await rm(copy, { recursive: true, force: true });
        });
      }
      // After the tickets: whatever they borrow is there.
      for (const mirror of borrowed) {
        signal?.throwIfAborted();
        await care.use(mirror, () => saveMirror(mirror, join(folder, 'mirrors', basename(mirror))));
      }
      return { tickets, leftOut };
    },

    /** Deletes what an earlier attempt left in the trash, later. */
    async emptyTrash(): Promise<void> {
      await trash.empty(layout.data.trash);
      await trash.empty(layout.tickets.trash);
    },

    /** Resolves when what was thrown away so far is deleted. */
    emptied: () => trash.settled(),
  };
}

async function mirrors(layout: Layout): Promise<string[]> {
  return (await readdir(layout.data.mirrors)).map((name) => join(layout.data.mirrors, name));
}
