import { AppError, toAppError } from '../errors/app-error.ts';
import { ticketKey } from '../store/tickets.ts';
import type { Workspaces } from '../workspaces/workspaces.ts';
import { beingCreated, withExistingTicket } from './existing-ticket.ts';
import type { TicketContext } from './ticket-context.ts';

/** Implements `Tickets.delete`. Persists the state `deleting` first, so that the next start can finish the deletion. */
export async function deleteTicket(
  context: TicketContext,
  ticketId: string,
  force: boolean,
  closing: AbortSignal,
): Promise<void> {
  const { store, workspaces, queries, retryInBackground } = context;
  const row = await queries.row(ticketId);
  const { ticket_id, ticket_key, state } = row;
  if (state === 'creating') throw beingCreated(ticket_id);
  const busy = () => new AppError('ticket_busy', `Ticket ${ticket_id} has unfinished runs.`);
  const lastRun = (await store.runs.newestByTicket([ticket_key])).get(ticket_key)?.run_id ?? '';
  if (!force) {
    if ((await store.runs.listOpen(ticket_id)).length > 0) throw busy();
    // Checked before the new state is persisted: nothing is checked when the next start finishes a deletion.
    await withExistingTicket(store, row, () => checkPushed(workspaces, ticket_id));
  }
  if (!(await store.tickets.markDeleting(ticket_id, force, lastRun))) throw busy();
  const finish = () => finishDeletion(context, ticket_id, { cancelRuns: true });
  await finish().catch((error) => {
    retryInBackground(ticket_id, finish, closing);
    throw error;
  });
}

/**
 * Deletes everything of a ticket in the state `deleting`. Runs one deletion of a ticket at a time: after the first, the id
 * may belong to a new ticket, which later deletions must not touch.
 * @param options.cancelRuns false before the server listens, when no run is active
 */
export function finishDeletion(
  { store, log, workspaces, agents, runs, deletionLock }: TicketContext,
  ticketId: string,
  { cancelRuns }: { cancelRuns: boolean },
): Promise<void> {
  return deletionLock(ticketKey(ticketId), undefined, async () => {
    const row = await store.tickets.get(ticketId);
    if (row?.state !== 'deleting') return;
    const { ticket_id, repo_url } = row;
    if (cancelRuns) await runs.cancelTicket(ticket_id);
    await agents.purge(ticket_id);
    await workspaces.remove(ticket_id, repo_url);
    const runIds = await store.runs.listIds(ticket_id);
    await store.tickets.delete(ticket_id);
    for (const runId of runIds) log.closeRun(runId);
  });
}

/** @throws AppError `unpushed_work` */
async function checkPushed(workspaces: Workspaces, ticketId: string): Promise<void> {
  if (!(await hasWorkspace(workspaces, ticketId))) return;
  const { dirty, unpushed } = await workspaces.status(ticketId);
  if (!dirty && !unpushed) return;
  const unpublished = dirty ? 'uncommitted changes' : 'unpushed commits';
  throw new AppError('unpushed_work', `The workspace of ${ticketId} has ${unpublished}.`);
}

/** Returns whether the workspace of a ticket is complete. */
export async function hasWorkspace(workspaces: Workspaces, ticketId: string): Promise<boolean> {
  try {
    await workspaces.paths(ticketId);
    return true;
  } catch (error) {
    if (toAppError(error).code === 'ticket_not_found') return false;
    throw error;
  }
}
