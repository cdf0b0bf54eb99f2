import type { Diff, Ticket } from '../../schemas/ticket.ts';
import { AppError } from '../errors/app-error.ts';
import type { GitProgress } from '../git/progress.ts';
import type { Store } from '../store/open-store.ts';
import { type TicketRow, ticketKey } from '../store/tickets.ts';
import type { Workspaces } from '../workspaces/workspaces.ts';
import { withExistingTicket } from './existing-ticket.ts';
import { toTicket } from './ticket-view.ts';
import { createViewCache } from './view-cache.ts';

export type TicketQueries = ReturnType<typeof createTicketQueries>;

type TicketPage = {
  cursor?: string;
  limit: number;
  state?: Ticket['state'];
  /** Repositories of the tickets, as `HOST/OWNER/NAME` or `HOST/OWNER/*` in lower case; all if undefined. */
  repositories?: readonly string[] | undefined;
};

/**
 * Creates the reads of tickets.
 * @param checkouts progress of the running checkouts, by key of the ticket
 */
export function createTicketQueries(store: Store, workspaces: Workspaces, checkouts: ReadonlyMap<string, GitProgress>) {
  const cache = createViewCache(store.changes, load);

  /** @throws AppError `ticket_not_found` */
  async function row(ticketId: string): Promise<TicketRow> {
    const found = await store.tickets.get(ticketId);
    if (found === undefined) throw new AppError('ticket_not_found', `There is no ticket ${ticketId}.`);
    return found;
  }

  async function load(ticketId: string): Promise<Ticket> {
    const found = await row(ticketId);
    const [view, place] = await Promise.all([
      viewOf([found]),
      withExistingTicket(store, found, () => workspaces.state(found.ticket_id)),
    ]);
    const kept = found.workspace_kept;
    return { ...view(found), workspace: { place, ...(kept === null ? {} : { kept }) } };
  }

  /** Reads what the views of these tickets show besides their rows, in two queries for all of them. */
  async function viewOf(rows: readonly TicketRow[]): Promise<(row: TicketRow) => Ticket> {
    const keys = rows.map((ticket) => ticket.ticket_key);
    const [lastRuns, planVersions] = await Promise.all([
      store.runs.newestByTicket(keys),
      store.plans.newestVersions(keys),
    ]);
    return (ticket) => {
      const key = ticket.ticket_key;
      return toTicket(ticket, {
        lastRun: lastRuns.get(key),
        planVersion: planVersions.get(key),
        progress: checkouts.get(key),
      });
    };
  }

  /** Returns stored tickets as clients see them, without the state of the workspace. */
  async function views(rows: readonly TicketRow[]): Promise<Ticket[]> {
    return rows.map(await viewOf(rows));
  }

  return {
    row,
    views,

    /** @throws AppError `ticket_not_found` */
    get: (ticketId: string): Promise<Ticket> => cache.get(ticketKey(ticketId), ticketId),

    /** Returns a page, newest first. */
    async list(query: TicketPage) {
      const page = await store.tickets.list(query);
      return { items: await views(page.items), next_cursor: page.nextCursor };
    },

    /** Compares the ticket's branch, with its uncommitted changes, to its base. */
    async diff(ticketId: string, signal: AbortSignal): Promise<Diff> {
      const found = await row(ticketId);
      return withExistingTicket(store, found, () => workspaces.diff(found.ticket_id, { signal }));
    },

    /** To be called after a change to a workspace that the store does not record. */
    clearCache: cache.clear,
  };
}
