import type { CreateTicket, Diff, Ticket, TicketSynced } from '../../schemas/ticket.ts';
import type { Agents } from '../agents/agents.ts';
import { createTryAgain } from '../concurrency/retry-in-background.ts';
import type { Config } from '../config/load-config.ts';
import type { Logger } from '../config/logger.ts';
import { AppError, toAppError } from '../errors/app-error.ts';
import type { EventLog } from '../events/event-log.ts';
import { ticketBranch, validateBranchName } from '../git/branch-name.ts';
import type { GitProgress } from '../git/progress.ts';
import { parseRepoUrl, type RepoRef } from '../git/repo-url.ts';
import type { RunEngine } from '../runs/run-engine.ts';
import type { Store } from '../store/open-store.ts';
import { type NewTicket, type TicketRow, ticketKey } from '../store/tickets.ts';
import { TREE_REFUSALS } from '../workspaces/scan/tree-limits.ts';
import type { Workspaces } from '../workspaces/workspaces.ts';
import { createRemoval, hasWorkspace } from './deletion.ts';
import { toTicket } from './ticket-view.ts';
import { rememberViews } from './view-cache.ts';
import { beingRemoved, checkThere, whileThere } from './while-there.ts';

export type Tickets = ReturnType<typeof createTickets>;

type TicketPage = {
  cursor?: string;
  limit: number;
  state?: Ticket['state'];
  /** Repositories of the tickets, as `HOST/OWNER/NAME` or `HOST/OWNER/*` in lower case; all without it. */
  repositories?: readonly string[] | undefined;
};

type Deps = {
  config: Config;
  store: Store;
  log: Pick<EventLog, 'forget'>;
  workspaces: Workspaces;
  agents: Pick<Agents, 'forget' | 'giveSpare' | 'adopt'>;
  runs: Pick<RunEngine, 'cancelTicket'>;
  logger: Logger;
};

export type CreatedTicket = {
  ticket: Ticket;
  created: boolean;
  /** Whether the base branch was brought in. */
  fresh: boolean;
  /** What is worth saying to a person. */
  notes: string[];
};

/** Tickets and their workspaces: a ticket is `ready` exactly when its workspace is whole. */
export function createTickets({ config, store, log, workspaces, agents, runs, logger }: Deps) {
  const tryAgain = createTryAgain(logger);
  const removal = createRemoval({ store, log, workspaces, agents, runs, tryAgain });
  /** How far the checkouts that are under way are, by the key of the ticket. */
  const checkingOut = new Map<string, GitProgress>();

  /** @throws AppError `ticket_not_found` */
  async function row(ticketId: string): Promise<TicketRow> {
    const found = await store.tickets.get(ticketId);
    if (found === undefined) throw new AppError('ticket_not_found', `There is no ticket ${ticketId}.`);
    return found;
  }

  /** Looks up what the views of these tickets need besides their rows, all at once. */
  async function viewOf(rows: readonly TicketRow[]): Promise<(row: TicketRow) => Ticket> {
    const keys = rows.map((ticket) => ticket.ticket_key);
    const [lastRuns, planVersions] = await Promise.all([store.runs.lastOf(keys), store.plans.newestVersions(keys)]);
    return (ticket) => {
      const key = ticket.ticket_key;
      return toTicket(ticket, {
        lastRun: lastRuns.get(key),
        planVersion: planVersions.get(key),
        progress: checkingOut.get(key),
      });
    };
  }

  async function look(ticketId: string): Promise<Ticket> {
    const known = await row(ticketId);
    const [view, place] = await Promise.all([
      viewOf([known]),
      whileThere(store, known, () => workspaces.upkeep.place(known.ticket_id)),
    ]);
    const kept = known.workspace_kept;
    return { ...view(known), workspace: { place, ...(kept === null ? {} : { kept }) } };
  }

  const views = rememberViews(store.changes, look);

  /** @throws AppError `ticket_not_found` */
  function get(ticketId: string): Promise<Ticket> {
    return views.get(ticketKey(ticketId), ticketId);
  }

  async function checkout(
    ticketId: string,
    repo: RepoRef,
    baseBranch: string | undefined,
    options: { signal: AbortSignal; place?: () => string | undefined; check?: () => Promise<void> },
  ) {
    const { place, ...rest } = options;
    const key = ticketKey(ticketId);
    const onProgress = (progress: GitProgress) => {
      logger.info({ ticket_id: ticketId, ...progress }, 'checking out');
      checkingOut.set(key, progress);
      store.changes.tell({ type: 'ticket', ticketKey: key });
    };
    try {
      return await workspaces.create({ ticketId, repo, baseBranch, place }, { ...rest, onProgress });
    } finally {
      checkingOut.delete(key);
    }
  }

  /** @param createdAt of the row, by which it is told from one of the same id that comes later */
  async function createNew(
    request: CreateTicket,
    repo: RepoRef,
    createdAt: string,
    signal: AbortSignal,
  ): Promise<CreatedTicket> {
    const { ticket_id } = request;
    const place = () => agents.giveSpare(ticket_id);
    try {
      const { baseBranch, notes } = await checkout(ticket_id, repo, request.base_branch, { signal, place });
      void readySpare(ticket_id);
      await store.tickets.update(ticket_id, { state: 'ready', base_branch: baseBranch });
      return { ticket: await get(ticket_id), created: true, fresh: true, notes };
    } catch (error) {
      // A full disk fails here, too; the error to tell is the first one.
      const recover = async () => {
        const left = await store.tickets.get(ticket_id);
        if (left?.created_at === createdAt) await recoverOne(left);
      };
      await recover().catch(() => tryAgain(ticket_id, recover, signal));
      throw error;
    }
  }

  /** In the background: the first command waits for it. Never rejects. */
  async function readySpare(ticketId: string): Promise<void> {
    try {
      await agents.adopt(ticketId, (await workspaces.paths(ticketId)).workspace);
    } catch (err) {
      logger.warn({ err, ticket_id: ticketId }, 'a spare agent could not be used');
      await agents
        .forget(ticketId)
        .catch((error) => logger.warn({ err: error, ticket_id: ticketId }, 'a spare agent could not be forgotten'));
    }
  }

  /** A ticket asked for again: takes over new words about it and brings the base branch in. */
  async function refresh(
    known: TicketRow,
    request: CreateTicket,
    repo: RepoRef,
    signal: AbortSignal,
  ): Promise<CreatedTicket> {
    const { ticket_id } = known;
    if (known.repo_url.toLowerCase() !== repo.url.toLowerCase()) {
      // Which one is not for every key to know.
      throw new AppError('ticket_repo_mismatch', `Ticket ${ticket_id} works on another repository.`);
    }
    if (known.state === 'deleting') throw beingRemoved(ticket_id);
    if (known.state === 'creating') {
      throw new AppError('ticket_busy', `Ticket ${ticket_id} is being created.`, { retryAfter: 5 });
    }
    await store.tickets.update(ticket_id, {
      ...(request.title === undefined ? {} : { title: request.title }),
      ...(request.description === undefined ? {} : { description: request.description }),
    });
    // Also mends a ticket whose workspace is gone, but not for a removal, after which nobody would look for it.
    const check = () => checkThere(store, known);
    const baseBranch = request.base_branch ?? known.base_branch;
    const { created, notes } = await checkout(ticket_id, repo, baseBranch, { signal, check });
    const told = created ? { fresh: true, notes: [] } : await bringIn(ticket_id, signal);
    views.clear();
    return { ticket: await get(ticket_id), created: false, fresh: told.fresh, notes: [...notes, ...told.notes] };
  }

  /** A run brings the base branch in itself, in its turn, before its agent begins: none can begin to work meanwhile. */
  async function syncWithoutRun(ticketId: string, options: { signal: AbortSignal; fresh?: boolean }) {
    const check = async () => {
      if ((await store.runs.unfinished(ticketId)).every((run) => run.state === 'queued')) return;
      throw new AppError('ticket_busy', `A run of ticket ${ticketId} is under way.`, { retryAfter: 30 });
    };
    // Now, to say so at once, and again when its turn has come.
    await check();
    return workspaces.sync(ticketId, { ...options, check });
  }

  async function bringIn(ticketId: string, signal: AbortSignal): Promise<{ fresh: boolean; notes: string[] }> {
    try {
      return { fresh: true, notes: (await syncWithoutRun(ticketId, { signal })).notes };
    } catch (error) {
      // The ticket is there and usable; a conflict is for a person or the agent to resolve.
      const { code, message } = toAppError(error);
      if (code === 'merge_conflict' || TREE_REFUSALS.has(code)) return { fresh: false, notes: [message] };
      if (code !== 'ticket_busy') throw error;
      return { fresh: false, notes: ['A run is under way, so the base branch was not brought in.'] };
    }
  }

  /** Ends what was cut off in the middle of a creation or removal. */
  async function recoverOne({ ticket_id, state, repo_url }: TicketRow): Promise<void> {
    if (state === 'ready') return;
    if (state === 'creating') {
      await agents.forget(ticket_id);
      if (await hasWorkspace(workspaces, ticket_id)) {
        const repo = parseRepoUrl(repo_url, config.ALLOWED_REPO_HOSTS);
        const { baseBranch } = await workspaces.create({ ticketId: ticket_id, repo });
        return store.tickets.update(ticket_id, { state: 'ready', base_branch: baseBranch });
      }
      await store.tickets.update(ticket_id, { state: 'deleting' });
    }
    await removal.finish(ticket_id);
  }

  return {
    row,

    /** After a start: ends what was cut off in the middle of a creation or removal. One ticket never stops the start. */
    async recover(): Promise<void> {
      await workspaces.recover();
      for (const ticket of [
        ...(await store.tickets.inState('creating')),
        ...(await store.tickets.inState('deleting')),
      ]) {
        await recoverOne(ticket).catch((err) =>
          logger.warn({ err, ticket_id: ticket.ticket_id, state: ticket.state }, 'a ticket could not be recovered'),
        );
      }
    },

    /**
     * Creates a ticket with its workspace, or brings the base branch into the one that exists.
     * @throws AppError `repo_url_invalid`, `ticket_repo_mismatch`, `ticket_busy`, or what git could not do
     */
    async create(request: CreateTicket, signal: AbortSignal): Promise<CreatedTicket> {
      const repo = parseRepoUrl(request.repo_url, config.ALLOWED_REPO_HOSTS);
      if (request.base_branch !== undefined) validateBranchName(request.base_branch);
      try {
        for (;;) {
          const now = new Date().toISOString();
          if (await store.tickets.insert(newRow(request, repo, now)))
            return await createNew(request, repo, now, signal);
          const known = await store.tickets.get(request.ticket_id);
          // Without one, it was removed just now.
          if (known !== undefined) return await whileThere(store, known, () => refresh(known, request, repo, signal));
        }
      } catch (error) {
        throw toAppError(error).code === 'ticket_not_found' ? beingRemoved(request.ticket_id, error) : error;
      }
    },

    get,

    /** Stored tickets as clients see them. */
    async views(rows: readonly TicketRow[]): Promise<Ticket[]> {
      return rows.map(await viewOf(rows));
    },

    /** A page, newest first. */
    async list(query: TicketPage) {
      const page = await store.tickets.list(query);
      return { items: await this.views(page.items), next_cursor: page.nextCursor };
    },

    /**
     * Fetches, and brings the base branch in.
     * @throws AppError `ticket_not_found`; `ticket_busy` while a run is under way; `merge_conflict`, with the workspace
     * unchanged; or what git could not do
     */
    async sync(ticketId: string, signal: AbortSignal): Promise<TicketSynced> {
      const known = await row(ticketId);
      const { ticket_id, state } = known;
      if (state !== 'ready') {
        const doing = state === 'creating' ? 'created' : 'removed';
        throw new AppError('ticket_busy', `Ticket ${ticket_id} is being ${doing}.`, { retryAfter: 5 });
      }
      const synced = await whileThere(store, known, () => syncWithoutRun(ticket_id, { signal, fresh: true }));
      const { updated, head, base, notes } = synced;
      return { ticket_id, updated, head, base, notes };
    },

    /** The ticket branch, with what is not committed yet, against its base. */
    async diff(ticketId: string, signal: AbortSignal): Promise<Diff> {
      const known = await row(ticketId);
      return whileThere(store, known, () => workspaces.diff(known.ticket_id, { signal }));
    },

    /**
     * Removes a ticket: workspace, conversation, plans, runs and events. The branch on GitHub stays.
     * @param force also with runs that have not ended, and with work that would be lost
     * @throws AppError `ticket_not_found`, `ticket_busy`, `unpushed_work`
     */
    async delete(ticketId: string, force: boolean, closing: AbortSignal): Promise<void> {
      await removal.start(await row(ticketId), force, closing);
    },
  };
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
