import type { Run, RunState } from '../../schemas/run.ts';
import type { Ticket } from '../../schemas/ticket.ts';
import { call, frames } from '../helpers/client.ts';
import { pause, type Stage } from './stage.ts';

/** How long a reader of the feed may know less than the server tells when it is asked, in milliseconds. */
const BEHIND_MS = 10_000;

const OPEN: ReadonlySet<RunState> = new Set(['queued', 'running', 'waiting']);

/**
 * A dashboard: reads the feed of the server and comes back whenever the connection breaks, or it leaves, with the place it
 * was at or anew. What it knows of the ticket must be what the server tells when it is asked.
 */
export function watchFeed(stage: Stage) {
  const { world, ticketId, random } = stage;
  const leaving = new AbortController();
  const runs = new Map<string, RunState>();
  let ticket: Ticket['state'] | 'deleted' | undefined;
  let lastId: string | undefined;
  let snapshots = 0;
  let restores = 0;

  function learn(type: string, data: string): void {
    // What was told before is void.
    if (restores !== stage.restores) runs.clear();
    restores = stage.restores;
    if (type === 'snapshot') {
      snapshots += 1;
      const open: Run[] = JSON.parse(data).runs;
      for (const [runId, state] of runs) {
        // What is open is in it; what is not in it has ended, or is gone with its ticket.
        if (OPEN.has(state) && !open.some(({ run_id }) => run_id === runId)) runs.delete(runId);
      }
      for (const run of open) seeRun(run);
      ticket = undefined;
    } else if (type === 'run.state') {
      seeRun(JSON.parse(data));
    } else if (type === 'ticket.deleted') {
      if (JSON.parse(data).ticket_id === ticketId) ticket = 'deleted';
    } else if (type.startsWith('ticket.')) {
      const seen: Ticket = JSON.parse(data);
      if (seen.ticket_id === ticketId) ticket = seen.state;
    }
  }

  function seeRun({ run_id, ticket_id, state }: Run): void {
    if (ticket_id !== ticketId) return;
    const before = runs.get(run_id);
    if (before !== undefined && !OPEN.has(before) && state !== before) {
      stage.violations.push(`the feed told that ${run_id} is ${before}, and then ${state}`);
    }
    runs.set(run_id, state);
  }

  async function read(): Promise<void> {
    const stay = AbortSignal.any([leaving.signal, AbortSignal.timeout(500 + random.below(5000))]);
    try {
      const headers: Record<string, string> =
        lastId === undefined || random.chance(0.3) ? {} : { 'last-event-id': lastId };
      const response = await fetch(new URL('/v1/events', world.server.url), { headers, signal: stay });
      for await (const { event, data, id } of frames(response)) {
        if (event === undefined || data === '') continue;
        learn(event, data);
        lastId = id ?? lastId;
      }
    } catch {
      // It left, or the server did.
    }
  }

  const reading = (async () => {
    while (!leaving.signal.aborted) {
      if (world.isUp()) await read();
      await pause(50);
    }
  })();

  async function differences(): Promise<string[]> {
    const { status, body } = await call(world.server, 'GET', `/v1/tickets/${ticketId}`);
    const found: string[] = [];
    const state: string = status === 404 ? 'deleted' : body.state;
    if (ticket !== undefined && ticket !== state) found.push(`the ticket is ${state}, and the feed told ${ticket}`);
    for (const [runId, told] of runs) {
      const run = await call<Run>(world.server, 'GET', `/v1/runs/${runId}`);
      if (run.status === 200 && run.body.state !== told)
        found.push(`${runId} is ${run.body.state}, and the feed told ${told}`);
    }
    return found;
  }

  return {
    /** Once all is at rest: what the reader was told wrongly, or not told. */
    async stop(): Promise<string[]> {
      if (leaving.signal.aborted) return [];
      const deadline = Date.now() + BEHIND_MS;
      while (snapshots === 0 && Date.now() < deadline) await pause(50);
      let found = snapshots === 0 ? ['the feed told no snapshot'] : await differences();
      while (found.length > 0 && Date.now() < deadline) {
        await pause(100);
        found = snapshots === 0 ? found : await differences();
      }
      leaving.abort();
      await reading;
      return found;
    },
  };
}
