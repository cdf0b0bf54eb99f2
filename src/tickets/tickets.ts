import type { CreateTicket, TicketSynced } from '../../schemas/ticket.ts';
import { createKeyedMutex } from '../concurrency/keyed-mutex.ts';
import { createBackgroundRetry } from '../concurrency/retry-in-background.ts';
import type { GitProgress } from '../git/progress.ts';
import { type CreatedTicket, createTicket } from './creation.ts';
import { deleteTicket } from './deletion.ts';
import { recoverTickets } from './recovery.ts';
import { syncTicket } from './sync.ts';
import type { TicketDeps } from './ticket-context.ts';
import { createTicketQueries } from './ticket-queries.ts';

export type Tickets = ReturnType<typeof createTickets>;

/**
 * Creates the tickets and their workspaces. The states of a ticket and their transitions:
 *
 *     (none)   → creating   `create` persists the row
 *     creating → ready      its workspace is complete
 *     creating → deleting   the creation failed
 *     ready    → ready      `create` again: updates title and description, restores a lost workspace, merges the base branch
 *     ready    → deleting   `delete`: without unfinished runs and unpushed work, or with `force`
 *     deleting → (none)     its runs are canceled; agents, conversation, workspace and row are deleted
 *
 * Only a `ready` ticket accepts runs. The server retries a failed creation or deletion in the background. After
 * an interruption by the end of the server, `recover` finishes it at the next start.
 */
export function createTickets(deps: TicketDeps) {
  const checkouts = new Map<string, GitProgress>();
  const queries = createTicketQueries(deps.store, deps.workspaces, checkouts);
  const { clearCache: _, ...reads } = queries;
  const retryInBackground = createBackgroundRetry(deps.logger);
  const context = { ...deps, queries, checkouts, deletionLock: createKeyedMutex(), retryInBackground };

  return {
    ...reads,

    /** Finishes interrupted creations and deletions. The caller starts no run before. */
    recover: (): Promise<void> => recoverTickets(context),

    /**
     * Creates a ticket with its workspace. For a ticket that exists, merges the base branch.
     * @throws AppError `repo_url_invalid`, `ticket_repo_mismatch`, `ticket_busy`, or an error of git
     */
    create: (request: CreateTicket, signal: AbortSignal): Promise<CreatedTicket> =>
      createTicket(context, request, signal),

    /**
     * Fetches and merges the base branch.
     * @throws AppError `ticket_not_found`, `ticket_busy` while a run is active, `merge_conflict` with the workspace unchanged,
     * or an error of git
     */
    sync: (ticketId: string, signal: AbortSignal): Promise<TicketSynced> => syncTicket(context, ticketId, signal),

    /**
     * Deletes a ticket: workspace, conversation, plans, runs and events. The branch on GitHub stays.
     * @param force deletes unfinished runs and unpushed work too
     * @throws AppError `ticket_not_found`, `ticket_busy`, `unpushed_work`
     */
    delete: (ticketId: string, force: boolean, closing: AbortSignal): Promise<void> =>
      deleteTicket(context, ticketId, force, closing),
  };
}
