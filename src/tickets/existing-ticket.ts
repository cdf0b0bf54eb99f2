import { AppError } from '../errors/app-error.ts';
import type { Store } from '../store/open-store.ts';
import type { TicketRow } from '../store/tickets.ts';

/**
 * Runs a task in the workspace of a ticket. A deletion meanwhile removes its folders, and the task can fail in many ways; the
 * caller receives one error for all of them.
 * @throws AppError `ticket_not_found` when the ticket was or is being deleted
 */
export async function withExistingTicket<T>(
  store: Pick<Store, 'tickets'>,
  ticket: TicketRow,
  task: () => Promise<T>,
): Promise<T> {
  try {
    return await task();
  } catch (cause) {
    if (await exists(store, ticket)) throw cause;
    throw new AppError('ticket_not_found', `Ticket ${ticket.ticket_id} was deleted.`, { cause });
  }
}

/** @throws AppError `ticket_busy` when the ticket was or is being deleted */
export async function checkExists(store: Pick<Store, 'tickets'>, ticket: TicketRow): Promise<void> {
  if (!(await exists(store, ticket))) throw beingDeleted(ticket.ticket_id);
}

/** Returns the error of a request to create a ticket that is being deleted. */
export function beingDeleted(ticketId: string, cause?: unknown): AppError {
  return new AppError('ticket_busy', `Ticket ${ticketId} is being deleted.`, { retryAfter: 5, cause });
}

/** Returns the error of a request that needs a ticket which is being created. */
export function beingCreated(ticketId: string): AppError {
  return new AppError('ticket_busy', `Ticket ${ticketId} is being created.`, { retryAfter: 5 });
}

/** Compares the time of creation too: the id may belong to a newer ticket by now. */
async function exists(store: Pick<Store, 'tickets'>, { ticket_id, created_at }: TicketRow): Promise<boolean> {
  const row = await store.tickets.get(ticket_id);
  return row !== undefined && row.created_at === created_at && row.state !== 'deleting';
}
