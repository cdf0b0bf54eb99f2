import { setTimeout as pause } from 'node:timers/promises';
import type { Order } from '../agent-definition.ts';
import { call, openStream, requestsPerSecond } from '../clients.ts';
import type { Lab, Server } from '../lab.ts';
import { SAMPLE, startRun } from '../order.ts';
import type { Figure, Row } from '../row.ts';
import { seed } from '../seed.ts';
import { interleave, median } from '../statistics.ts';

const ROUNDS = 5;
const SIZES = [
  { name: '10 tickets', tickets: 10, events: 1000 },
  { name: '1,000 tickets', tickets: 1000, events: 1000 },
  { name: '100,000 tickets, run of 1,000,000 events', tickets: 100_000, events: 1_000_000 },
];

/** A store of some size, and the server on it. */
type Grown = (typeof SIZES)[number] & { env: Record<string, string>; runId: string; server: Server };

export const growth: Row = {
  name: 'growth',
  title: 'Growth',
  async measure(lab) {
    const { github, env } = await lab.standIns();
    await github.addRepository('acme/duration', { from: SAMPLE });
    const all: Grown[] = [];
    for (const size of SIZES) {
      const settings: Record<string, string> = {
        ...lab.settings(`growth-${size.tickets}`),
        ...env,
        AGENT_POOL_SPARE: '0',
      };
      const runId = await seed(settings.DATA_DIR ?? '', { ...size, bytes: 100 });
      const server = await lab.serverWithAgent(settings);
      await call(server.url, 'POST', '/v1/tickets', { ticket_id: 'new-0', repo_url: REPO });
      await runOf({ events: 1 })({ ...size, env: settings, runId, server });
      all.push({ ...size, env: settings, runId, server });
    }
    const figures: Figure[] = [];
    for (const [what, { look, linear }] of Object.entries(LOOKS)) {
      const times = await interleave(
        ROUNDS,
        Object.fromEntries(all.map((grown) => [grown.name, (round: number) => look(grown, round, lab)])),
      );
      const [few, ...more] = SIZES.map(({ name }) => ({ name, value: median(times[name] ?? []) }));
      for (const { name, value } of more) {
        const figure = { what: `${what}, ${name}`, unit: 'ms' as const, ours: value, ...(few && { yardstick: few }) };
        figures.push(linear === true ? figure : { ...figure, reach: { within: 2 } });
      }
    }
    return figures;
  },
};

const REPO = 'https://github.com/acme/duration';

/** Times in milliseconds. `linear`: counts all there are, and is told for the reader. */
const LOOKS: Record<string, { look: (grown: Grown, round: number, lab: Lab) => Promise<number>; linear?: true }> = {
  'first page of tickets': { look: asking(() => '/v1/tickets?limit=20') },
  'tickets in a state': { look: asking(() => '/v1/tickets?limit=20&state=ready') },
  'tickets in a state that none has': { look: asking(() => '/v1/tickets?limit=20&state=deleting') },
  'first page of runs': { look: asking(() => '/v1/runs?limit=20') },
  'runs of a ticket': { look: asking(() => '/v1/tickets/T-7/runs') },
  'a ticket': { look: asking(() => '/v1/tickets/T-7') },
  'a run': { look: asking(({ runId }) => `/v1/runs/${runId}`) },
  'stream resumed near the end of the run': { look: resume },
  'a new ticket': { look: newTicket },
  'first word of a run, warm': { look: runOf({ events: 1, untilFirst: true }) },
  'a run of 1,000 events': { look: runOf({ events: 1000 }) },
  'snapshot of the feed after a change': { look: snapshot, linear: true },
  'start to listening': { look: restart },
};

function asking(path: (grown: Grown) => string) {
  return async (grown: Grown) => 1000 / (await requestsPerSecond(grown.server.url + path(grown), 1, 0.5));
}

async function resume({ server, runId, events }: Grown): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < 20; round++) {
    const begun = performance.now();
    await (await openStream(`${server.url}/v1/runs/${runId}/events?after=${events - 10}`)).ended;
    times.push(performance.now() - begun);
  }
  return median(times);
}

async function newTicket({ server }: Grown, round: number): Promise<number> {
  const begun = performance.now();
  await call(server.url, 'POST', '/v1/tickets', { ticket_id: `new-${round + 1}`, repo_url: REPO });
  return performance.now() - begun;
}

function runOf({ events, untilFirst = false }: { events: number; untilFirst?: boolean }) {
  const order: Order = { kind: 'tool', delayMs: 0, count: events, bytes: 100, everyMs: 0 };
  return async ({ server }: Grown) => {
    const begun = performance.now();
    const first = Promise.withResolvers<number>();
    const url = await startRun(server, order, 'new-0');
    const stream = await openStream(url, (text) => {
      if (text.includes('"tool-1"')) first.resolve(performance.now());
    });
    await stream.ended;
    return (untilFirst ? await first.promise : performance.now()) - begun;
  };
}

async function snapshot(grown: Grown): Promise<number> {
  await runOf({ events: 1 })(grown);
  // Changes are gathered for a moment, and each makes the snapshot be taken anew.
  await pause(500);
  const begun = performance.now();
  const told = Promise.withResolvers<void>();
  const { socket } = await openStream(`${grown.server.url}/v1/events`, (text) => {
    if (text.includes('event: snapshot')) told.resolve();
  });
  await told.promise;
  socket.destroy();
  return performance.now() - begun;
}

async function restart(grown: Grown, _round: number, lab: Lab): Promise<number> {
  await grown.server.stop();
  const begun = performance.now();
  grown.server = await lab.serverWithAgent(grown.env);
  return performance.now() - begun;
}
