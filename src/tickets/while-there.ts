import { AppError } from '../errors/app-error.ts';
import type { Store } from '../store/open-store.ts';
import type { TicketRow } from '../store/tickets.ts';

/**
 * Does something with the workspace of a ticket. A removal takes its folders away meanwhile, and whatever fails for that
 * fails in one way.
 * @throws AppError `ticket_not_found` when the ticket was or is being removed
 */
export async function whileThere<T>(
  store: Pick<Store, 'tickets'>,
  ticket: TicketRow,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (await isThere(store, ticket)) throw cause;
    throw new AppError('ticket_not_found', `Ticket ${ticket.ticket_id} was removed.`, { cause });
  }
}

/** @throws AppError `ticket_busy` when the ticket was or is being removed */
export async function checkThere(store: Pick<Store, 'tickets'>, ticket: TicketRow): Promise<void> {
  if (!(await isThere(store, ticket))) throw beingRemoved(ticket.ticket_id);
}

/** What a request to create a ticket is told that meets its removal. */
export function beingRemoved(ticketId: string, cause?: unknown): AppError {
  return new AppError('ticket_busy', `Ticket ${ticketId} is being removed.`, { retryAfter: 5, cause });
}

/** Whether it is there still, and not another one of the same id that came after it. */
async function isThere(store: Pick<Store, 'tickets'>, { ticket_id, created_at }: TicketRow): Promise<boolean> {
  const now = await store.tickets.get(ticket_id);
  return now !== undefined && now.created_at === created_at && now.state !== 'deleting';
}
