import { setTimeout as pause } from 'node:timers/promises';
import type { AgentTask } from '../agent-definition.ts';
import { SAMPLE, startRun } from '../agent-runs.ts';
import { call, openStream, requestsPerSecond } from '../clients.ts';
import type { Lab, Server } from '../lab.ts';
import type { Figure, Row } from '../row.ts';
import { seed } from '../seed.ts';
import { interleave, median } from '../statistics.ts';

const ROUNDS = 5;
const SIZES = [
  { name: '10 tickets', tickets: 10, events: 1000 },
  { name: '1,000 tickets', tickets: 1000, events: 1000 },
  { name: '100,000 tickets, run of 1,000,000 events', tickets: 100_000, events: 1_000_000 },
];

/** A server on a seeded store. */
type SeededServer = (typeof SIZES)[number] & { env: Record<string, string>; runId: string; server: Server };

export const growth: Row = {
  name: 'growth',
  title: 'Growth',
  async measure(lab) {
    const { github, env } = await lab.standIns();
    await github.addRepository('acme/duration', { from: SAMPLE });
    const all: SeededServer[] = [];
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
    for (const [what, { measure, linear }] of Object.entries(MEASUREMENTS)) {
      const times = await interleave(
        ROUNDS,
        Object.fromEntries(all.map((seeded) => [seeded.name, (round: number) => measure(seeded, round, lab)])),
      );
      const [few, ...more] = SIZES.map(({ name }) => ({ name, value: median(times[name] ?? []) }));
      for (const { name, value } of more) {
        const figure = { what: `${what}, ${name}`, unit: 'ms' as const, ours: value, ...(few && { yardstick: few }) };
        figures.push(linear === true ? figure : { ...figure, goal: { within: 2 } });
      }
    }
    return figures;
  },
};

const REPO = 'https://github.com/acme/duration';

/** Measurements in milliseconds. `linear`: grows with the number of tickets, so it is only informative. */
const MEASUREMENTS: Record<
  string,
  { measure: (seeded: SeededServer, round: number, lab: Lab) => Promise<number>; linear?: true }
> = {
  'first page of tickets': { measure: requestTime(() => '/v1/tickets?limit=20') },
  'tickets in a state': { measure: requestTime(() => '/v1/tickets?limit=20&state=ready') },
  'tickets in an unused state': { measure: requestTime(() => '/v1/tickets?limit=20&state=deleting') },
  'first page of runs': { measure: requestTime(() => '/v1/runs?limit=20') },
  'runs of a ticket': { measure: requestTime(() => '/v1/tickets/T-7/runs') },
  'a ticket': { measure: requestTime(() => '/v1/tickets/T-7') },
  'a run': { measure: requestTime(({ runId }) => `/v1/runs/${runId}`) },
  'stream resumed near the end of the run': { measure: resume },
  'a new ticket': { measure: newTicket },
  'first word of a run, warm': { measure: runOf({ events: 1, untilFirst: true }) },
  'a run of 1,000 events': { measure: runOf({ events: 1000 }) },
  'snapshot of the feed after a change': { measure: snapshot, linear: true },
  'start to listening': { measure: restart },
};

function requestTime(path: (seeded: SeededServer) => string) {
  return async (seeded: SeededServer) => 1000 / (await requestsPerSecond(seeded.server.url + path(seeded), 1, 0.5));
}

async function resume({ server, runId, events }: SeededServer): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < 20; round++) {
    const startedAt = performance.now();
    await (await openStream(`${server.url}/v1/runs/${runId}/events?after=${events - 10}`)).ended;
    times.push(performance.now() - startedAt);
  }
  return median(times);
}

async function newTicket({ server }: SeededServer, round: number): Promise<number> {
  const startedAt = performance.now();
  await call(server.url, 'POST', '/v1/tickets', { ticket_id: `new-${round + 1}`, repo_url: REPO });
  return performance.now() - startedAt;
}

function runOf({ events, untilFirst = false }: { events: number; untilFirst?: boolean }) {
  const task: AgentTask = { kind: 'tool', delayMs: 0, count: events, bytes: 100, everyMs: 0 };
  return async ({ server }: SeededServer) => {
    const startedAt = performance.now();
    const first = Promise.withResolvers<number>();
    const url = await startRun(server, task, 'new-0');
    const stream = await openStream(url, (text) => {
      if (text.includes('"tool-1"')) first.resolve(performance.now());
    });
    await stream.ended;
    return (untilFirst ? await first.promise : performance.now()) - startedAt;
  };
}

async function snapshot(seeded: SeededServer): Promise<number> {
  await runOf({ events: 1 })(seeded);
  // Each change invalidates the snapshot, after a short delay that coalesces changes.
  await pause(500);
  const startedAt = performance.now();
  const arrived = Promise.withResolvers<void>();
  const { socket } = await openStream(`${seeded.server.url}/v1/events`, (text) => {
    if (text.includes('event: snapshot')) arrived.resolve();
  });
  await arrived.promise;
  socket.destroy();
  return performance.now() - startedAt;
}

async function restart(seeded: SeededServer, _round: number, lab: Lab): Promise<number> {
  await seeded.server.stop();
  const startedAt = performance.now();
  seeded.server = await lab.serverWithAgent(seeded.env);
  return performance.now() - startedAt;
}
