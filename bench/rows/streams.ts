import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { serverWithTicket, startRun } from '../agent-runs.ts';
import { openStream, type StreamClient } from '../clients.ts';
import { type Lab, residentMemory, type Server } from '../lab.ts';
import type { Row } from '../row.ts';
import { seed } from '../seed.ts';

const BARE = fileURLToPath(new URL('../yardsticks/bare-stream.ts', import.meta.url));
const IDLE = 4000;
const COLLECTS = { NODE_OPTIONS: `--import ${new URL('../collect.ts', import.meta.url)}` };
const BATCH = 20;
const STALLED = 20;

export const streams: Row = {
  name: 'streams',
  title: 'Memory',
  async measure(lab) {
    const ours = await serverWithTicket(lab, COLLECTS);
    const run = await startRun(ours, { kind: 'text', delayMs: 300_000, count: 1, bytes: 100, everyMs: 0 });
    const bare = await lab.startProgram([BARE], COLLECTS);
    const yardstick = { name: '`node:http` alone', value: (await idleStreams(bare, bare.url)) / 1e3 };
    const idle = await idleStreams(ours, run);
    const stalled = await stalledClients(lab);
    return [
      {
        what: `per idle stream, beyond ${IDLE.toLocaleString('en-US')}`,
        unit: 'kB',
        ours: idle / 1e3,
        yardstick,
        goal: { atMost: 20 },
      },
      { what: 'per stalled client on a log of 200 MB', unit: 'MB', ours: stalled / 1e6, goal: { atMost: 3 } },
    ];
  },
};

/**
 * Measures the bytes per idle stream. A first batch stays open while the second is measured: V8's young generation grows
 * only once, and the second batch would otherwise reuse memory of the first.
 */
async function idleStreams(server: Server, url: string): Promise<number> {
  const open = async (count: number) => {
    const all: StreamClient[] = [];
    while (all.length < count) {
      const some = await Promise.all(Array.from({ length: BATCH }, () => openStream(url)));
      await Promise.all(some.map(({ opened }) => opened));
      all.push(...some);
    }
    return all;
  };
  const first = await open(IDLE);
  const before = await neededMemory(server);
  const second = await open(IDLE);
  const after = await neededMemory(server);
  for (const { socket } of [...first, ...second]) socket.destroy();
  return (after - before) / IDLE;
}

/** Measures the bytes per client that stops reading after the response head. */
async function stalledClients(lab: Lab): Promise<number> {
  const settings = lab.settings('stalled');
  const { env } = await lab.standIns('world-stalled');
  const runId = await seed(settings.DATA_DIR ?? '', { tickets: 1, events: 3200, bytes: 65_536 });
  const server = await lab.server({ ...settings, ...env, ...COLLECTS });
  await (await fetch(`${server.url}/v1/runs/${runId}/events?after=3000`)).text();
  const before = await neededMemory(server);
  const all: StreamClient[] = [];
  for (let index = 0; index < STALLED; index++) {
    const client = await openStream(`${server.url}/v1/runs/${runId}/events`);
    await client.opened;
    client.socket.pause();
    all.push(client);
  }
  const after = await neededMemory(server);
  for (const { socket } of all) socket.destroy();
  return (after - before) / STALLED;
}

/** Measures resident memory in bytes after garbage collection. */
async function neededMemory(server: Server): Promise<number> {
  await pause(2000);
  server.process.kill('SIGWINCH');
  await pause(2000);
  return residentMemory(server.process.pid);
}
