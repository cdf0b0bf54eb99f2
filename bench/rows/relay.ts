import { fileURLToPath } from 'node:url';
import { type Order, promptOf } from '../agent-definition.ts';
import { latencies, openStream } from '../clients.ts';
import type { Server } from '../lab.ts';
import { serverWithTicket, startRun } from '../order.ts';
import type { Figure, Row } from '../row.ts';
import { interleave, median, quantile } from '../statistics.ts';

const RAW = fileURLToPath(new URL('../yardsticks/raw-pipe.ts', import.meta.url));

export const relay: Row = {
  name: 'relay',
  title: 'Event leaves the agent → bytes at the client',
  short: true,
  async measure(lab) {
    const ours = await serverWithTicket(lab);
    const raw = await lab.listening([RAW]);
    const figures: Figure[] = [];
    for (const clients of [1, 100]) {
      const count = lab.short ? 100 : 400;
      const order: Order = { kind: 'text', delayMs: 1000, count, bytes: 120, everyMs: 10 };
      const measured = await interleave(lab.short ? 2 : 5, {
        ours: () => through(ours, order, clients),
        raw: () => piped(raw, order, clients),
      });
      for (const [name, share, above] of [['p50', 0.5, 3] as const, ['p99', 0.99, 15] as const]) {
        const of = (all: number[][]) => median(all.map((times) => quantile(times, share)));
        const yardstick = { name: 'raw pipe over node:http', value: of(measured.raw) };
        const what = `${name}, ${clients} client${clients === 1 ? '' : 's'}`;
        figures.push({ what, unit: 'ms', ours: of(measured.ours), yardstick, reach: { above } });
      }
    }
    return figures;
  },
};

async function through(server: Server, order: Order, clients: number): Promise<number[]> {
  const url = await startRun(server, order);
  return read(url, clients, order);
}

async function piped(server: Server, order: Order, clients: number): Promise<number[]> {
  return read(
    `${server.url}/?${new URLSearchParams({ clients: `${clients}`, prompt: promptOf(order) })}`,
    clients,
    order,
  );
}

async function read(url: string, clients: number, order: Order): Promise<number[]> {
  const times = latencies();
  const streams = await Promise.all(Array.from({ length: clients }, () => openStream(url, times.reader(order.count))));
  const opened = await Promise.all(streams.map((stream) => stream.opened));
  await Promise.all(streams.map((stream) => stream.ended));
  const late = opened.filter((at) => at > (times.first() ?? 0n)).length;
  if (late > 0) throw new Error(`${late} of ${clients} clients came after the first event`);
  if (times.all.length !== clients * order.count) {
    throw new Error(`${times.all.length} of ${clients * order.count} pieces of text came`);
  }
  return times.all;
}
