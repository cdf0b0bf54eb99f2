import type { Run } from '../../schemas/run.ts';
import type { Ticket } from '../../schemas/ticket.ts';
import { followChangeFeed } from './change-feed.ts';
import { permissions, run as runQuery, runs, runsOf, ticketPath, tickets } from './queries.ts';
import { invalidate, type List, patch, patchLists } from './resource.ts';

const isTicketList = (key: string) => key === tickets.key;
const isRunList = (key: string) => /^\/v1\/(?:tickets\/[^/?]+\/)?runs(?:\?|$)/.test(key);

/** Applies the change feed to the cached data. Returns a function that stops it. */
export function startLiveUpdates(): () => void {
  const reloadAll = () => invalidate(() => true);
  window.addEventListener('online', reloadAll);
  const stop = followChangeFeed((change) => {
    switch (change.type) {
      case 'snapshot':
        reloadAll();
        return;
      case 'ticket.created':
      case 'ticket.updated':
        updateTicket(change.data);
        return;
      case 'ticket.deleted':
        removeTicket(change.data.ticket_id);
        return;
      case 'run.state':
        updateRun(change.data);
        return;
      default:
        invalidate((key) => key === permissions.key);
    }
  });
  return () => {
    window.removeEventListener('online', reloadAll);
    stop();
  };
}

function updateTicket(ticket: Ticket): void {
  const path = ticketPath(ticket.ticket_id);
  patch<Ticket>(path, () => ticket);
  patchLists<Ticket>(isTicketList, (list) => {
    const sortKeyOf = (item: Ticket) => `${item.created_at} ${item.ticket_id.toLowerCase()}`;
    return upsert(list, ticket, (item) => item.ticket_id, sortKeyOf);
  });
  invalidate((key) => key.startsWith(`${path}/plan`) || key.startsWith(`${path}/diff`));
}

function removeTicket(ticketId: string): void {
  const isOther = (item: { ticket_id: string }) => item.ticket_id !== ticketId;
  patchLists<Ticket>(isTicketList, (list) => ({ ...list, items: list.items.filter(isOther) }));
  patchLists<Run>(isRunList, (list) => ({ ...list, items: list.items.filter(isOther) }));
  invalidate((key) => key === ticketPath(ticketId));
}

function updateRun(run: Run): void {
  const { run_id, ticket_id, action, state, created_at } = run;
  patch<Run>(runQuery(run_id).key, () => run);
  let before: Run | undefined;
  const listsWithQueue = new Set<string>();
  patchLists<Run>(isRunList, (list, key) => {
    before ??= list.items.find((item) => item.run_id === run_id);
    if (list.items.some((item) => item.state === 'queued' && item.run_id !== run_id)) listsWithQueue.add(key);
    return updateRunList(list, key, run);
  });
  const isLast = (ticket: Ticket) => ticket.last_run === undefined || ticket.last_run.run_id <= run_id;
  const withLastRun = (ticket: Ticket): Ticket =>
    ticket.ticket_id === ticket_id && isLast(ticket)
      ? { ...ticket, last_run: { run_id, action, state, created_at } }
      : ticket;
  patch<Ticket>(ticketPath(ticket_id), withLastRun);
  patchLists<Ticket>(isTicketList, (list) => ({ ...list, items: list.items.map(withLastRun) }));
  // A run that enters or leaves the queue changes the positions of other runs, for which the feed has no events.
  if (before === undefined || (before.state === 'queued') !== (state === 'queued')) {
    invalidate((key) => listsWithQueue.has(key));
  }
  if (isFinished(run)) {
    const path = ticketPath(ticket_id);
    const isOfTicket = (key: string) => key === path || (key.startsWith(`${path}/`) && !isRunList(key));
    invalidate((key) => isOfTicket(key) || key.startsWith('/v1/usage'));
  }
}

/** Updates, inserts or removes a run in a list. A conversation keeps all runs that it shows when a new one arrives. */
function updateRunList(list: List<Run>, key: string, run: Run): List<Run> {
  const idOf = (item: Run) => item.run_id;
  const updated = upsert(list, run, idOf, idOf);
  if (key === runs(undefined).key || key === runs(run.state).key) return updated;
  if (key.toLowerCase() === runsOf(run.ticket_id).key.toLowerCase()) {
    return { ...updated, requested: Math.max(updated.requested, updated.items.length) };
  }
  return { ...list, items: list.items.filter((item) => idOf(item) !== run.run_id) };
}

/** Updates an item, or inserts it into the descending order of a list. An item below the end of what was read is left out. */
function upsert<T>(list: List<T>, item: T, idOf: (item: T) => string, sortKeyOf: (item: T) => string): List<T> {
  const { items } = list;
  const known = items.findIndex((other) => idOf(other) === idOf(item));
  if (known >= 0) return { ...list, items: items.with(known, item) };
  const below = items.findIndex((other) => sortKeyOf(other) < sortKeyOf(item));
  if (below < 0 && list.next_cursor !== null) return list;
  return { ...list, items: items.toSpliced(below < 0 ? items.length : below, 0, item) };
}

export function isFinished({ state }: Pick<Run, 'state'>): boolean {
  return state !== 'queued' && state !== 'running' && state !== 'waiting';
}
