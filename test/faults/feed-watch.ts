import type { Run, RunState } from '../../schemas/run.ts';
import type { Ticket } from '../../schemas/ticket.ts';
import { call, frames } from '../helpers/client.ts';
import { pause, type Stage } from './stage.ts';

/** How long the change feed may lag behind other routes. */
const MAX_FEED_LAG_MS = 10_000;

const OPEN: ReadonlySet<RunState> = new Set(['queued', 'running', 'waiting']);

/**
 * Reads the change feed, as the dashboard does. It disconnects at random and reconnects, with or without its last event id.
 * Its state of the ticket must match the other routes.
 */
export function watchFeed(stage: Stage) {
  const { world, ticketId, random } = stage;
  const stopping = new AbortController();
  const runs = new Map<string, RunState>();
  let ticket: Ticket['state'] | 'deleted' | undefined;
  let lastId: string | undefined;
  let snapshots = 0;
  let restores = 0;

  function applyEvent(type: string, data: string): void {
    // Events from before a restore are void.
    if (restores !== stage.restores) runs.clear();
    restores = stage.restores;
    if (type === 'snapshot') {
      snapshots += 1;
      const open: Run[] = JSON.parse(data).runs;
      for (const [runId, state] of runs) {
        // The snapshot has all open runs: others have finished, or were deleted with their ticket.
        if (OPEN.has(state) && !open.some(({ run_id }) => run_id === runId)) runs.delete(runId);
      }
      for (const run of open) applyRun(run);
      ticket = undefined;
    } else if (type === 'run.state') {
      applyRun(JSON.parse(data));
    } else if (type === 'ticket.deleted') {
      if (JSON.parse(data).ticket_id === ticketId) ticket = 'deleted';
    } else if (type.startsWith('ticket.')) {
      const seen: Ticket = JSON.parse(data);
      if (seen.ticket_id === ticketId) ticket = seen.state;
    }
  }

  function applyRun({ run_id, ticket_id, state }: Run): void {
    if (ticket_id !== ticketId) return;
    const before = runs.get(run_id);
    if (before !== undefined && !OPEN.has(before) && state !== before) {
      stage.violations.push(`the feed reported ${run_id} as ${before}, and then as ${state}`);
    }
    runs.set(run_id, state);
  }

  async function read(): Promise<void> {
    const signal = AbortSignal.any([stopping.signal, AbortSignal.timeout(500 + random.below(5000))]);
    try {
      const headers: Record<string, string> =
        lastId === undefined || random.chance(0.3) ? {} : { 'last-event-id': lastId };
      const response = await fetch(new URL('/v1/events', world.server.url), { headers, signal });
      for await (const { event, data, id } of frames(response)) {
        if (event === undefined || data === '') continue;
        applyEvent(event, data);
        lastId = id ?? lastId;
      }
    } catch {
      // The reader or the server closed the connection.
    }
  }

  const reading = (async () => {
    while (!stopping.signal.aborted) {
      if (world.isUp()) await read();
      await pause(50);
    }
  })();

  async function differences(): Promise<string[]> {
    const { status, body } = await call(world.server, 'GET', `/v1/tickets/${ticketId}`);
    const found: string[] = [];
    const state: string = status === 404 ? 'deleted' : body.state;
    if (ticket !== undefined && ticket !== state) found.push(`the ticket is ${state}, and the feed reported ${ticket}`);
    for (const [runId, reported] of runs) {
      const run = await call<Run>(world.server, 'GET', `/v1/runs/${runId}`);
      if (run.status === 200 && run.body.state !== reported)
        found.push(`${runId} is ${run.body.state}, and the feed reported ${reported}`);
    }
    return found;
  }

  return {
    /** Stops the reader when the world is quiet. Returns the differences between the feed and other routes. */
    async stop(): Promise<string[]> {
      if (stopping.signal.aborted) return [];
      const deadline = Date.now() + MAX_FEED_LAG_MS;
      while (snapshots === 0 && Date.now() < deadline) await pause(50);
      let found = snapshots === 0 ? ['the feed sent no snapshot'] : await differences();
      while (found.length > 0 && Date.now() < deadline) {
        await pause(100);
        found = snapshots === 0 ? found : await differences();
      }
      stopping.abort();
      await reading;
      return found;
    },
  };
}
