import { setTimeout as pause } from 'node:timers/promises';
import { openStream, type StreamClient } from '../clients.ts';
import { type Lab, residentMemory, type Server } from '../lab.ts';
import { serverWithTicket, startRun } from '../order.ts';
import type { Row } from '../row.ts';
import { seed } from '../seed.ts';

const IDLE = 2000;
const STALLED = 20;

export const streams: Row = {
  name: 'streams',
  title: 'Memory',
  async measure(lab) {
    const idle = await idleStreams(await serverWithTicket(lab));
    const stalled = await stalledClients(lab);
    return [
      { what: 'per idle stream', unit: 'kB', ours: idle / 1e3, reach: { atMost: 20 } },
      { what: 'per stalled client on a log of 200 MB', unit: 'MB', ours: stalled / 1e6, reach: { atMost: 3 } },
    ];
  },
};

/** Streams of a run whose agent says nothing; a first lot lets the server grow to its working size. */
async function idleStreams(server: Server): Promise<number> {
  const url = await startRun(server, { kind: 'text', delayMs: 120_000, count: 1, bytes: 100, everyMs: 0 });
  const open = async (count: number) => {
    const all: StreamClient[] = [];
    for (let index = 0; index < count; index++) all.push(await openStream(url));
    await Promise.all(all.map(({ opened }) => opened));
    await pause(2000);
    return all;
  };
  for (const { socket } of await open(IDLE / 4)) socket.destroy();
  await pause(2000);
  const before = residentMemory(server.process.pid);
  const all = await open(IDLE);
  const after = residentMemory(server.process.pid);
  for (const { socket } of all) socket.destroy();
  return (after - before) / IDLE;
}

/** Clients that take the head of the answer and then nothing any more. */
async function stalledClients(lab: Lab): Promise<number> {
  const settings = lab.settings('stalled');
  const { env } = await lab.standIns('world-stalled');
  const runId = await seed(settings.DATA_DIR ?? '', { tickets: 1, events: 3200, bytes: 65_536 });
  const server = await lab.server({ ...settings, ...env });
  await (await fetch(`${server.url}/v1/runs/${runId}/events?after=3000`)).text();
  await pause(1000);
  const before = residentMemory(server.process.pid);
  const all: StreamClient[] = [];
  for (let index = 0; index < STALLED; index++) {
    const client = await openStream(`${server.url}/v1/runs/${runId}/events`);
    await client.opened;
    client.socket.pause();
    all.push(client);
  }
  await pause(2000);
  const after = residentMemory(server.process.pid);
  for (const { socket } of all) socket.destroy();
  return (after - before) / STALLED;
}
