import type { RunEvent } from '../../schemas/event.ts';
import type { RunEngine } from '../runs/run-engine.ts';
import type { Change } from '../store/change-notifier.ts';
import type { Store } from '../store/open-store.ts';
import { ticketKey } from '../store/tickets.ts';
import type { Tickets } from '../tickets/tickets.ts';

/** Events of a run that change its state; its other events are in its own stream only. */
const STATE_EVENTS = /^(?:run|permission)\./;

/** The tickets and runs that changed within a short time. */
export type Batch = {
  tickets: Map<string, 'ticket.created' | 'ticket.updated'>;
  deleted: Map<string, { ticketId: string; repoUrl: string }>;
  runs: Set<string>;
  permissions: RunEvent[];
};

export function emptyBatch(): Batch {
  return { tickets: new Map(), deleted: new Map(), runs: new Set(), permissions: [] };
}

/** Adds a change to a batch. Returns whether it belongs in the feed. */
export function addChange(batch: Batch, change: Change): boolean {
  if (change.type === 'ticket') {
    const { ticketKey: key } = change;
    const isNew = change.created === true || batch.tickets.get(key) === 'ticket.created';
    batch.tickets.set(key, isNew ? 'ticket.created' : 'ticket.updated');
  } else if (change.type === 'ticket_deleted') {
    batch.deleted.set(ticketKey(change.ticketId), change);
  } else {
    const events = change.events.filter(({ type }) => STATE_EVENTS.test(type));
    if (change.events.length > 0 && events.length === 0) return false;
    batch.runs.add(change.runId);
    batch.permissions.push(...events.filter(({ type }) => type.startsWith('permission.')));
  }
  return true;
}

/** Reads the present state of all tickets and runs in a batch, as the entries of the feed. */
export async function readBatch(
  {
    store,
    tickets,
    runs,
  }: { store: Pick<Store, 'feed'>; tickets: Pick<Tickets, 'views'>; runs: Pick<RunEngine, 'views'> },
  batch: Batch,
): Promise<{ repoUrl: string; type: string; data: object }[]> {
  const ticketRows = await store.feed.tickets([...batch.tickets.keys()]);
  const ticketViews = await tickets.views(ticketRows);
  const present = new Set(ticketRows.map((row) => row.ticket_key));
  const runRows = await store.feed.runs([...batch.runs]);
  const runViews = await runs.views(runRows);
  const repositories = new Map(runRows.map((run) => [run.run_id, run.repo_url]));
  const ofRun = (runId: string, type: string, data: object) => {
    const repoUrl = repositories.get(runId);
    return repoUrl === undefined ? [] : [{ repoUrl, type, data }];
  };
  return [
    ...[...batch.deleted]
      .filter(([key]) => !present.has(key))
      .map(([, { ticketId, repoUrl }]) => ({ repoUrl, type: 'ticket.deleted', data: { ticket_id: ticketId } })),
    ...ticketViews.map((data) => ({
      repoUrl: data.repo_url,
      type: batch.tickets.get(ticketKey(data.ticket_id)) ?? 'ticket.updated',
      data,
    })),
    ...runViews.flatMap((data) => ofRun(data.run_id, 'run.state', data)),
    ...batch.permissions.flatMap((data) => ofRun(data.run_id, data.type, data)),
  ];
}
