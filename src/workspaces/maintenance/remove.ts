import { exists } from '../../files/entries.ts';
import type { Layout } from '../../files/layout.ts';
import type { Mirrors } from '../../mirrors/mirrors.ts';
import type { Trash } from '../../trees/trash.ts';
import { readTicket } from '../open-ticket.ts';
import type { SyncCache } from '../sync/sync.ts';

/** Moves the folders of a ticket to the trash, and releases the commits that it borrows from its mirror. */
export async function removeWorkspace(
  { layout, trash, mirrors, syncCache }: { layout: Layout; trash: Trash; mirrors: Mirrors; syncCache: SyncCache },
  ticketId: string,
  repoUrl: string,
  quarantine: string,
): Promise<void> {
  const ticket = readTicket(layout, ticketId);
  syncCache.delete(ticketId);
  if (ticket !== undefined) {
    await trash.add(ticket.workspace, layout.tickets.trash);
    await trash.add(ticket.gitDir, layout.data.trash);
    await trash.add(quarantine, layout.tickets.trash);
  }
  const mirror = ticket?.mirror ?? layout.mirror(repoUrl);
  if (await exists(mirror)) await mirrors.release(mirror, ticketId);
}
