import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { serverWithTicket } from '../agent-runs.ts';
import { call, requestsPerSecond } from '../clients.ts';
import type { Row } from '../row.ts';
import { interleave, median } from '../statistics.ts';

const BARE = fileURLToPath(new URL('../yardsticks/bare-route.ts', import.meta.url));
const CONNECTIONS = 10;

export const getTicket: Row = {
  name: 'get-ticket',
  title: '`GET /v1/tickets/{id}`',
  short: true,
  async measure(lab) {
    const ours = await serverWithTicket(lab);
    const path = '/v1/tickets/T-1';
    const file = join(lab.dir, 'ticket.json');
    await writeFile(file, JSON.stringify((await call(ours.url, 'GET', path)).body));
    const bare = await lab.startProgram([BARE, file]);
    const seconds = 0.25;
    // Warm up: V8 compiles both.
    for (const { url } of [ours, bare]) await requestsPerSecond(url + path, CONNECTIONS, 2);
    // Many short rounds, because other load on the machine changes within seconds.
    const measured = await interleave(lab.short ? 10 : 40, {
      ours: () => requestsPerSecond(ours.url + path, CONNECTIONS, seconds),
      bare: () => requestsPerSecond(bare.url + path, CONNECTIONS, seconds),
    });
    const yardstick = { name: 'bare Fastify route, same JSON', value: median(measured.bare) };
    return [
      { what: 'requests, 10 connections', unit: '/s', ours: median(measured.ours), yardstick, goal: { times: 0.6 } },
    ];
  },
};
