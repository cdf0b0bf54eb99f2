import type { Run } from '../../schemas/run.ts';
import type { Ticket } from '../../schemas/ticket.ts';
import { followChangeFeed } from './change-feed.ts';
import { permissions, run as runQuery, runs, runsOf, ticketPath, tickets } from './queries.ts';
import { invalidate, type List, patch, patchLists } from './resource.ts';

const isTicketList = (path: string) => path === tickets.key;
const isRunList = (path: string) => /^\/v1\/(?:tickets\/[^/?]+\/)?runs(?:\?|$)/.test(path);
const isPermissions = (path: string) => path === permissions.key;

/** Keeps what the page shows up to date by the server's feed of changes. */
export function startLiveUpdates(): () => void {
  const catchUp = () => invalidate(() => true);
  window.addEventListener('online', catchUp);
  const stop = followChangeFeed((change) => {
    switch (change.type) {
      case 'snapshot':
        catchUp();
        return;
      case 'ticket.created':
      case 'ticket.updated':
        ticketChanged(change.data);
        return;
      case 'ticket.deleted':
        ticketDeleted(change.data.ticket_id);
        return;
      case 'run.state':
        runChanged(change.data);
        return;
      default:
        invalidate(isPermissions);
    }
  });
  return () => {
    window.removeEventListener('online', catchUp);
    stop();
  };
}

function ticketChanged(ticket: Ticket): void {
  const path = ticketPath(ticket.ticket_id);
  patch<Ticket>(path, () => ticket);
  patchLists<Ticket>(isTicketList, (list) => {
    const sortKeyOf = (item: Ticket) => `${item.created_at} ${item.ticket_id.toLowerCase()}`;
    return upsert(list, ticket, (item) => item.ticket_id, sortKeyOf);
  });
  invalidate((other) => other.startsWith(`${path}/plan`) || other.startsWith(`${path}/diff`));
}

function ticketDeleted(ticketId: string): void {
  const isLeft = (item: { ticket_id: string }) => item.ticket_id !== ticketId;
  patchLists<Ticket>(isTicketList, (list) => ({ ...list, items: list.items.filter(isLeft) }));
  patchLists<Run>(isRunList, (list) => ({ ...list, items: list.items.filter(isLeft) }));
  invalidate((path) => path === ticketPath(ticketId));
}

function runChanged(run: Run): void {
  const { run_id, ticket_id, action, state, created_at } = run;
  patch<Run>(runQuery(run_id).key, () => run);
  let before: Run | undefined;
  const withQueue = new Set<string>();
  patchLists<Run>(isRunList, (list, key) => {
    before ??= list.items.find((item) => item.run_id === run_id);
    if (list.items.some((item) => item.state === 'queued' && item.run_id !== run_id)) withQueue.add(key);
    return withRun(list, key, run);
  });
  const isLast = (ticket: Ticket) => ticket.last_run === undefined || ticket.last_run.run_id <= run_id;
  const withLastRun = (ticket: Ticket): Ticket =>
    ticket.ticket_id === ticket_id && isLast(ticket)
      ? { ...ticket, last_run: { run_id, action, state, created_at } }
      : ticket;
  patch<Ticket>(ticketPath(ticket_id), withLastRun);
  patchLists<Ticket>(isTicketList, (list) => ({ ...list, items: list.items.map(withLastRun) }));
  // A run that comes into the queue, or leaves it, moves the others, of which nothing is told.
  if (before === undefined || (before.state === 'queued') !== (state === 'queued')) {
    invalidate((key) => withQueue.has(key));
  }
  if (isFinished(run)) {
    const path = ticketPath(ticket_id);
    const isOfTicket = (other: string) => other === path || (other.startsWith(`${path}/`) && !isRunList(other));
    invalidate((other) => isOfTicket(other) || other.startsWith('/v1/usage'));
  }
}

/** A list of runs with a run as it is now, if the run belongs to it. A conversation keeps what it shows when it goes on. */
function withRun(list: List<Run>, key: string, run: Run): List<Run> {
  const idOf = (item: Run) => item.run_id;
  const longer = upsert(list, run, idOf, idOf);
  if (key === runs(undefined).key || key === runs(run.state).key) return longer;
  if (key.toLowerCase() === runsOf(run.ticket_id).key.toLowerCase()) {
    return { ...longer, requested: Math.max(longer.requested, longer.items.length) };
  }
  return { ...list, items: list.items.filter((item) => idOf(item) !== run.run_id) };
}

/** A list with an item as it is now, at its place from the greatest to the least; what is below the end is left out. */
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
