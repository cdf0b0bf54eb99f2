import { exists } from '../../files/entries.ts';
import type { WorkspaceContext } from '../context.ts';
import { readTicket } from '../open-ticket.ts';

/** Moves the folders of a ticket to the trash, and releases the commits that it borrows from its mirror. */
export async function removeWorkspace(
  { layout, trash, mirrors, syncCache }: WorkspaceContext,
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
