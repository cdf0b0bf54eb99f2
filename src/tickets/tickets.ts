import type { Run } from '../../schemas/run.ts';
import type { CreateTicket, Diff, Ticket } from '../../schemas/ticket.ts';
import type { Agents } from '../agents/agents.ts';
import type { Config } from '../config/load-config.ts';
import { AppError, toAppError } from '../errors/app-error.ts';
import { ticketBranch, validateBranchName } from '../git/branch-name.ts';
import { parseRepoUrl } from '../git/repo-url.ts';
import type { Store } from '../store/open-store.ts';
import type { RunRow } from '../store/runs.ts';
import { type TicketRow, ticketKey } from '../store/tickets.ts';
import type { Workspaces } from '../workspaces/workspaces.ts';

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
  workspaces: Workspaces;
  agents: Pick<Agents, 'forget'>;
};

/** Tickets and their workspaces: a ticket is `ready` exactly when its workspace is whole. */
export function createTickets({ config, store, workspaces, agents }: Deps) {
  /**
   * @throws AppError `ticket_not_found`
   */
  async function row(ticketId: string): Promise<TicketRow> {
    const found = await store.tickets.get(ticketId);
    if (found === undefined) throw new AppError('ticket_not_found', `There is no ticket ${ticketId}.`);
    return found;
  }

  function hasWorkspace(ticketId: string): Promise<boolean> {
    return workspaces.paths(ticketId).then(
      () => true,
      (error) => {
        if (toAppError(error).code === 'ticket_not_found') return false;
        throw error;
      },
    );
  }

  return {
    row,

    /** After a start: forgets tickets whose creation was cut off, keeps those whose workspace was finished. */
    async recover(): Promise<void> {
      await workspaces.recover();
      for (const ticket of await store.tickets.inState('creating')) {
        if (await hasWorkspace(ticket.ticket_id)) {
          const repo = parseRepoUrl(ticket.repo_url, config.ALLOWED_REPO_HOSTS);
          const { baseBranch } = await workspaces.create({ ticketId: ticket.ticket_id, repo });
          await store.tickets.update(ticket.ticket_id, { state: 'ready', base_branch: baseBranch });
        } else {
          await store.tickets.remove(ticket.ticket_id);
        }
      }
    },

    /**
     * Creates a ticket with its workspace, or brings the base branch into the one that exists.
     * @returns the ticket, whether it is new, and what is worth saying about it
     * @throws AppError `repo_url_invalid`, `ticket_repo_mismatch`, `ticket_busy`, or what git could not do
     */
    async create(
      request: CreateTicket,
      signal: AbortSignal,
    ): Promise<{ ticket: Ticket; created: boolean; notes: string[] }> {
      const repo = parseRepoUrl(request.repo_url, config.ALLOWED_REPO_HOSTS);
      if (request.base_branch !== undefined) validateBranchName(request.base_branch);
      const now = new Date().toISOString();
      const inserted = await store.tickets.insert({
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
      });
      if (!inserted) {
        const notes = await this.refresh(await row(request.ticket_id), request, repo.url, signal);
        return { ticket: await this.get(request.ticket_id), created: false, notes };
      }
      try {
        const workspace = await workspaces.create(
          {
            ticketId: request.ticket_id,
            repo,
            ...(request.base_branch === undefined ? {} : { baseBranch: request.base_branch }),
          },
          { signal },
        );
        await store.tickets.update(request.ticket_id, { state: 'ready', base_branch: workspace.baseBranch });
        return { ticket: await this.get(request.ticket_id), created: true, notes: workspace.notes };
      } catch (error) {
        await store.tickets.remove(request.ticket_id);
        throw error;
      }
    },

    /** An existing ticket asked for again: takes over new words about it and brings the base branch in. */
    async refresh(ticket: TicketRow, request: CreateTicket, repoUrl: string, signal: AbortSignal): Promise<string[]> {
      if (ticket.repo_url.toLowerCase() !== repoUrl.toLowerCase()) {
        // Which one is not for every key to know.
        throw new AppError('ticket_repo_mismatch', `Ticket ${ticket.ticket_id} works on another repository.`);
      }
      if (ticket.state === 'creating') {
        throw new AppError('ticket_busy', `Ticket ${ticket.ticket_id} is being created.`, { retryAfter: 5 });
      }
      await store.tickets.update(ticket.ticket_id, {
        ...(request.title === undefined ? {} : { title: request.title }),
        ...(request.description === undefined ? {} : { description: request.description }),
      });
      if ((await store.runs.unfinished(ticket.ticket_id)).some((run) => run.state !== 'queued')) {
        return ['A run is under way, so the base branch was not brought in.'];
      }
      try {
        return (await workspaces.sync(ticket.ticket_id, { signal })).notes;
      } catch (error) {
        // The ticket is there and usable; a conflict is for a person or the agent to resolve.
        if (error instanceof AppError && error.code === 'merge_conflict') return [error.message];
        throw error;
      }
    },

    /** @throws AppError `ticket_not_found` */
    async get(ticketId: string): Promise<Ticket> {
      const [ticket] = await present([await row(ticketId)]);
      if (ticket === undefined) throw new AppError('ticket_not_found', `There is no ticket ${ticketId}.`);
      return ticket;
    },

    async list(query: TicketPage) {
      const page = await store.tickets.list(query);
      return { items: await present(page.items), next_cursor: page.nextCursor };
    },

    /** The ticket branch, with what is not committed yet, against its base. */
    async diff(ticketId: string): Promise<Diff> {
      const { ticket_id } = await row(ticketId);
      return workspaces.diff(ticket_id);
    },

    /**
     * Removes a ticket: workspace, conversation, plans, runs and events. The branch on GitHub stays.
     * @throws AppError `unpushed_work` unless `force`
     */
    async remove(ticketId: string, force: boolean): Promise<void> {
      const ticket = await row(ticketId);
      if (!force && (await hasWorkspace(ticket.ticket_id))) {
        const status = await workspaces.status(ticket.ticket_id);
        if (status.dirty || status.unpushed) {
          throw new AppError(
            'unpushed_work',
            `The workspace of ${ticket.ticket_id} holds ${status.dirty ? 'changes that were not committed' : 'commits that were not pushed'}.`,
          );
        }
      }
      await agents.forget(ticket.ticket_id);
      await workspaces.remove(ticket.ticket_id);
      await store.tickets.remove(ticket.ticket_id);
    },
  };

  async function present(rows: readonly TicketRow[]): Promise<Ticket[]> {
    const keys = rows.map((ticket) => ticket.ticket_key);
    const [lastRuns, planVersions] = await Promise.all([store.runs.lastOf(keys), store.plans.newestVersions(keys)]);
    return rows.map((ticket) => toTicket(ticket, lastRuns.get(ticket.ticket_key), planVersions.get(ticket.ticket_key)));
  }
}

function toTicket(row: TicketRow, lastRun: RunRow | undefined, planVersion: number | undefined): Ticket {
  return {
    ticket_id: row.ticket_id,
    repo_url: row.repo_url,
    ...(row.title === null ? {} : { title: row.title }),
    ...(row.description === null ? {} : { description: row.description }),
    branch: row.branch,
    base_branch: row.base_branch,
    state: row.state,
    ...(planVersion === undefined ? {} : { plan_version: planVersion }),
    ...(row.pull_request_number === null || row.pull_request_url === null
      ? {}
      : { pull_request: { number: row.pull_request_number, url: row.pull_request_url } }),
    ...(lastRun === undefined ? {} : { last_run: runSummary(lastRun) }),
    created_at: row.created_at,
    updated_at: row.updated_at,
  };
}

function runSummary(run: RunRow): Pick<Run, 'run_id' | 'action' | 'state' | 'created_at'> {
  return { run_id: run.run_id, action: run.action, state: run.state, created_at: run.created_at };
}
