import type { Agents } from '../agents/agents.ts';
import { createKeyedMutex } from '../concurrency/keyed-mutex.ts';
import type { TryAgain } from '../concurrency/retry-in-background.ts';
import { AppError, toAppError } from '../errors/app-error.ts';
import type { EventLog } from '../events/event-log.ts';
import type { RunEngine } from '../runs/run-engine.ts';
import type { Store } from '../store/open-store.ts';
import { type TicketRow, ticketKey } from '../store/tickets.ts';
import type { Workspaces } from '../workspaces/workspaces.ts';
import { whileThere } from './while-there.ts';

type Deps = {
  store: Store;
  log: Pick<EventLog, 'forget'>;
  workspaces: Workspaces;
  agents: Pick<Agents, 'forget'>;
  runs: Pick<RunEngine, 'cancelTicket'>;
  tryAgain: TryAgain;
};

/** Removal of tickets: marked first, and then finished, by the next start if need be. */
export function createRemoval({ store, log, workspaces, agents, runs, tryAgain }: Deps) {
  const oneAtATime = createKeyedMutex();

  /**
   * Deletes everything of a ticket in the state `deleting`. One deletion at a time: after the first one the id may belong to
   * a new ticket, which the others must not touch.
   */
  function finish(ticketId: string): Promise<void> {
    return oneAtATime(ticketKey(ticketId), undefined, async () => {
      const marked = await store.tickets.get(ticketId);
      if (marked?.state !== 'deleting') return;
      const { ticket_id, repo_url } = marked;
      await runs.cancelTicket(ticket_id);
      await agents.forget(ticket_id);
      await workspaces.remove(ticket_id, repo_url);
      const runIds = await store.runs.idsOf(ticket_id);
      await store.tickets.remove(ticket_id);
      for (const runId of runIds) log.forget(runId);
    });
  }

  /** @throws AppError `unpushed_work` when something would be lost */
  async function checkPushed(ticketId: string): Promise<void> {
    if (!(await hasWorkspace(workspaces, ticketId))) return;
    const { dirty, unpushed } = await workspaces.status(ticketId);
    if (!dirty && !unpushed) return;
    const what = dirty ? 'changes that were not committed' : 'commits that were not pushed';
    throw new AppError('unpushed_work', `The workspace of ${ticketId} holds ${what}.`);
  }

  return {
    finish,

    /**
     * Removes a ticket.
     * @param force also with runs that have not ended, and with work that would be lost
     * @throws AppError `ticket_busy`, `unpushed_work`, `ticket_not_found` when another removal was faster
     */
    async start(ticket: TicketRow, force: boolean, closing: AbortSignal): Promise<void> {
      const { ticket_id, ticket_key, state } = ticket;
      if (state === 'creating') {
        throw new AppError('ticket_busy', `Ticket ${ticket_id} is being created.`, { retryAfter: 5 });
      }
      const busy = () => new AppError('ticket_busy', `Ticket ${ticket_id} has runs that have not ended.`);
      const lastRun = (await store.runs.lastOf([ticket_key])).get(ticket_key)?.run_id ?? '';
      if (!force) {
        if ((await store.runs.unfinished(ticket_id)).length > 0) throw busy();
        // Before it is marked: from then on it is removed, by the next start if need be, and nobody asks again.
        await whileThere(store, ticket, () => checkPushed(ticket_id));
      }
      if (!(await store.tickets.startRemoval(ticket_id, force, lastRun))) throw busy();
      const work = () => finish(ticket_id);
      await work().catch((error) => {
        tryAgain(ticket_id, work, closing);
        throw error;
      });
    },
  };
}

/** Whether a ticket's workspace is whole. */
export async function hasWorkspace(workspaces: Pick<Workspaces, 'paths'>, ticketId: string): Promise<boolean> {
  try {
    await workspaces.paths(ticketId);
    return true;
  } catch (error) {
    if (toAppError(error).code === 'ticket_not_found') return false;
    throw error;
  }
}
