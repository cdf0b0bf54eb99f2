import type { TicketSynced } from '../../schemas/ticket.ts';
import { AppError, toAppError } from '../errors/app-error.ts';
import { TREE_REFUSALS } from '../workspaces/scan/tree-limits.ts';
import { beingCreated, beingDeleted, withExistingTicket } from './existing-ticket.ts';
import type { TicketContext } from './ticket-context.ts';

type SyncContext = Pick<TicketContext, 'store' | 'workspaces'>;

/** Implements `Tickets.sync`. */
export async function syncTicket(
  context: SyncContext & Pick<TicketContext, 'queries'>,
  ticketId: string,
  signal: AbortSignal,
): Promise<TicketSynced> {
  const { store, queries } = context;
  const row = await queries.row(ticketId);
  const { ticket_id, state } = row;
  if (state !== 'ready') throw state === 'creating' ? beingCreated(ticket_id) : beingDeleted(ticket_id);
  const synced = await withExistingTicket(store, row, () => sync(context, ticket_id, { signal, fresh: true }));
  const { updated, head, base, notes } = synced;
  return { ticket_id, updated, head, base, notes };
}

/** Syncs a ticket that is created again. A conflict is not an error: the ticket works, and a person or the agent resolves it. */
export async function mergeBase(
  context: SyncContext,
  ticketId: string,
  signal: AbortSignal,
): Promise<{ fresh: boolean; notes: string[] }> {
  try {
    return { fresh: true, notes: (await sync(context, ticketId, { signal })).notes };
  } catch (error) {
    const { code, message } = toAppError(error);
    if (code === 'merge_conflict' || TREE_REFUSALS.has(code)) return { fresh: false, notes: [message] };
    if (code !== 'ticket_busy') throw error;
    return { fresh: false, notes: ['The base branch was not merged, because a run is active.'] };
  }
}

/** Syncs unless a run is active: each run syncs before its agent starts, and nothing else may change its workspace. */
async function sync(
  { store, workspaces }: SyncContext,
  ticketId: string,
  options: { signal: AbortSignal; fresh?: boolean },
) {
  const check = async () => {
    if ((await store.runs.listOpen(ticketId)).every((run) => run.state === 'queued')) return;
    throw new AppError('ticket_busy', `A run of ticket ${ticketId} is active.`, { retryAfter: 30 });
  };
  // Checked now, to fail at once, and again when the ticket's lock is held.
  await check();
  return workspaces.sync(ticketId, { ...options, check });
}
