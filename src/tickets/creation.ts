import type { CreateTicket, Ticket } from '../../schemas/ticket.ts';
import { AppError, toAppError } from '../errors/app-error.ts';
import { ticketBranch, validateBranchName } from '../git/branch-name.ts';
import type { GitProgress } from '../git/progress.ts';
import { parseRepoUrl, type RepoRef } from '../git/repo-url.ts';
import { type NewTicket, type TicketRow, ticketKey } from '../store/tickets.ts';
import { beingCreated, beingDeleted, checkExists, withExistingTicket } from './existing-ticket.ts';
import { recoverTicket } from './recovery.ts';
import { mergeBase } from './sync.ts';
import type { TicketContext } from './ticket-context.ts';

export type CreatedTicket = {
  ticket: Ticket;
  created: boolean;
  /** Whether the branch contains the newest base branch. */
  fresh: boolean;
  /** Sentences for a person. */
  notes: string[];
};

/** Implements `Tickets.create`. */
export async function createTicket(
  context: TicketContext,
  request: CreateTicket,
  signal: AbortSignal,
): Promise<CreatedTicket> {
  const { config, store } = context;
  const repo = parseRepoUrl(request.repo_url, config.ALLOWED_REPO_HOSTS);
  if (request.base_branch !== undefined) validateBranchName(request.base_branch);
  try {
    for (;;) {
      const now = new Date().toISOString();
      if (await store.tickets.insert(newRow(request, repo, now))) {
        return await createNew(context, request, repo, now, signal);
      }
      const row = await store.tickets.get(request.ticket_id);
      // Undefined when the ticket was deleted since the insert.
      if (row !== undefined) {
        return await withExistingTicket(store, row, () => createAgain(context, row, request, repo, signal));
      }
    }
  } catch (error) {
    throw toAppError(error).code === 'ticket_not_found' ? beingDeleted(request.ticket_id, error) : error;
  }
}

/** @param createdAt of the row, which distinguishes it from a later ticket with the same id */
async function createNew(
  context: TicketContext,
  request: CreateTicket,
  repo: RepoRef,
  createdAt: string,
  signal: AbortSignal,
): Promise<CreatedTicket> {
  const { store, workspaces, agents, queries, retryInBackground } = context;
  const { ticket_id } = request;
  try {
    const { baseBranch, notes } = await withProgress(context, ticket_id, async (onProgress) => {
      const options = { signal, onProgress };
      const prepared = await workspaces.prepare(
        { ticketId: ticket_id, repo, baseBranch: request.base_branch },
        options,
      );
      const folder = prepared.plan && agents.claimSpare(ticket_id);
      return workspaces.materialize(prepared, { ...options, folder });
    });
    void attachSpare(context, ticket_id);
    await store.tickets.update(ticket_id, { state: 'ready', base_branch: baseBranch });
    return { ticket: await queries.get(ticket_id), created: true, fresh: true, notes };
  } catch (error) {
    const recover = async () => {
      const row = await store.tickets.get(ticket_id);
      if (row?.created_at === createdAt) await recoverTicket(context, row);
    };
    // The first error is the one to report: on a full disk, this fails too.
    await recover().catch(() => retryInBackground(ticket_id, recover, signal));
    throw error;
  }
}

/** Creates a ticket that exists: updates its title and description and merges the base branch. */
async function createAgain(
  context: TicketContext,
  row: TicketRow,
  request: CreateTicket,
  repo: RepoRef,
  signal: AbortSignal,
): Promise<CreatedTicket> {
  const { store, workspaces, queries } = context;
  const { ticket_id } = row;
  if (row.repo_url.toLowerCase() !== repo.url.toLowerCase()) {
    // Does not name the repository, which the caller may have no right to see.
    throw new AppError('ticket_repo_mismatch', `Ticket ${ticket_id} works on another repository.`);
  }
  if (row.state === 'deleting') throw beingDeleted(ticket_id);
  if (row.state === 'creating') throw beingCreated(ticket_id);
  await store.tickets.update(ticket_id, {
    ...(request.title === undefined ? {} : { title: request.title }),
    ...(request.description === undefined ? {} : { description: request.description }),
  });
  // Restores a lost workspace, but not that of a deleted ticket: nothing would ever remove it.
  const check = () => checkExists(store, row);
  const baseBranch = request.base_branch ?? row.base_branch;
  const { created, notes } = await withProgress(context, ticket_id, (onProgress) =>
    workspaces.create({ ticketId: ticket_id, repo, baseBranch }, { signal, check, onProgress }),
  );
  const merged = created ? { fresh: true, notes: [] } : await mergeBase(context, ticket_id, signal);
  queries.clearCache();
  const ticket = await queries.get(ticket_id);
  return { ticket, created: false, fresh: merged.fresh, notes: [...notes, ...merged.notes] };
}

/** Shows the progress of a checkout in the ticket while it runs. */
async function withProgress<T>(
  { store, checkouts, logger }: TicketContext,
  ticketId: string,
  checkout: (onProgress: (progress: GitProgress) => void) => Promise<T>,
): Promise<T> {
  const key = ticketKey(ticketId);
  const onProgress = (progress: GitProgress) => {
    logger.info({ ticket_id: ticketId, ...progress }, 'checking out');
    checkouts.set(key, progress);
    store.changes.notify({ type: 'ticket', ticketKey: key });
  };
  try {
    return await checkout(onProgress);
  } finally {
    checkouts.delete(key);
  }
}

/** Attaches the spare agent in the background; the first command waits for it. Never rejects. */
async function attachSpare({ workspaces, agents, logger }: TicketContext, ticket_id: string): Promise<void> {
  try {
    await agents.attachSpare(ticket_id, (await workspaces.paths(ticket_id)).workspace);
  } catch (err) {
    logger.warn({ err, ticket_id }, 'failed to attach spare agent');
    await agents.purge(ticket_id).catch((err) => logger.warn({ err, ticket_id }, 'failed to delete spare agent'));
  }
}

function newRow(request: CreateTicket, repo: RepoRef, now: string): NewTicket {
  return {
    ticket_key: ticketKey(request.ticket_id),
    ticket_id: request.ticket_id,
    repo_url: repo.url,
    title: request.title ?? null,
    description: request.description ?? null,
    branch: ticketBranch(request.ticket_id),
    base_branch: request.base_branch ?? '',
    state: 'creating',
    pull_request_number: null,
    pull_request_url: null,
    created_at: now,
    updated_at: now,
  };
}
