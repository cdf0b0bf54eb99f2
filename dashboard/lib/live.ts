import type { Run } from '../../schemas/run.ts';
import type { Ticket } from '../../schemas/ticket.ts';
import { followFeed } from './feed.ts';
import { permissions, run as runQuery, runs, runsOf, ticketPath, tickets } from './queries.ts';
import { invalidate, patch, patchLists } from './resource.ts';

const isTicketList = (path: string) => path === tickets.key;
const isRunList = (path: string) => /^\/v1\/(?:tickets\/[^/?]+\/)?runs(?:\?|$)/.test(path);
const isPermissions = (path: string) => path === permissions.key;

/** Keeps what the page shows up to date by the server's feed of changes. */
export function keepLive(): () => void {
  const catchUp = () => invalidate(() => true);
  window.addEventListener('online', catchUp);
  const stop = followFeed((change) => {
    switch (change.type) {
      case 'snapshot':
        catchUp();
        return;
      case 'ticket.created':
      case 'ticket.updated':
        ticketChanged(change.data, change.type);
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

function ticketChanged(ticket: Ticket, type: string): void {
  const path = ticketPath(ticket.ticket_id);
  patch<Ticket>(path, () => ticket);
  patchLists<Ticket>(isTicketList, (items) =>
    type === 'ticket.created' && !items.some((item) => item.ticket_id === ticket.ticket_id)
      ? [ticket, ...items]
      : items.map((item) => (item.ticket_id === ticket.ticket_id ? ticket : item)),
  );
  if (type === 'ticket.created') invalidate(isTicketList);
  invalidate((other) => other.startsWith(`${path}/plan`) || other.startsWith(`${path}/diff`));
}

function ticketDeleted(ticketId: string): void {
  patchLists<Ticket>(isTicketList, (items) => items.filter((item) => item.ticket_id !== ticketId));
  invalidate((path) => path === ticketPath(ticketId) || isRunList(path));
}

function runChanged(run: Run): void {
  const { run_id, ticket_id, action, state, created_at } = run;
  patch<Run>(runQuery(run_id).key, () => run);
  let known = false;
  patchLists<Run>(isRunList, (items, key) => {
    if (items.some((item) => item.run_id === run_id)) {
      known = true;
      return items.map((item) => (item.run_id === run_id ? run : item));
    }
    const isNewest = items[0] === undefined || items[0].run_id < run_id;
    return isNewest && (key === runsOf(ticket_id).key || key === runs(undefined).key) ? [run, ...items] : items;
  });
  const isLast = (ticket: Ticket) => ticket.last_run === undefined || ticket.last_run.run_id <= run_id;
  const withRun = (ticket: Ticket): Ticket =>
    ticket.ticket_id === ticket_id && isLast(ticket)
      ? { ...ticket, last_run: { run_id, action, state, created_at } }
      : ticket;
  patch<Ticket>(ticketPath(ticket_id), withRun);
  patchLists<Ticket>(isTicketList, (items) => items.map(withRun));
  // A run that is new, or has left the queue, moves the others.
  if (!known || state !== 'queued') invalidate(isRunList);
  if (isOver(run)) {
    const path = ticketPath(ticket_id);
    invalidate((other) => other === path || other.startsWith(`${path}/`) || other.startsWith('/v1/usage'));
  }
}

export function isOver({ state }: Pick<Run, 'state'>): boolean {
  return state !== 'queued' && state !== 'running' && state !== 'waiting';
}
