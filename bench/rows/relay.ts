import { fileURLToPath } from 'node:url';
import { type AgentTask, promptOf } from '../agent-definition.ts';
import { serverWithTicket, startRun } from '../agent-runs.ts';
import { latencies, openStream } from '../clients.ts';
import type { Server } from '../lab.ts';
import type { Figure, Row } from '../row.ts';
import { interleave, median, quantile } from '../statistics.ts';

const RAW = fileURLToPath(new URL('../yardsticks/raw-pipe.ts', import.meta.url));

export const relay: Row = {
  name: 'relay',
  title: 'Event leaves the agent → bytes at the client',
  short: true,
  async measure(lab) {
    const ours = await serverWithTicket(lab);
    const raw = await lab.startProgram([RAW]);
    const figures: Figure[] = [];
    for (const clients of [1, 100]) {
      const count = lab.short ? 100 : 400;
      const task: AgentTask = { kind: 'text', delayMs: 1000, count, bytes: 120, everyMs: 10 };
      const measured = await interleave(lab.short ? 2 : 5, {
        ours: () => viaServer(ours, task, clients),
        raw: () => viaRawPipe(raw, task, clients),
      });
      for (const [name, share, above] of [['p50', 0.5, 3] as const, ['p99', 0.99, 15] as const]) {
        const summarize = (all: number[][]) => median(all.map((times) => quantile(times, share)));
        const yardstick = { name: 'raw pipe over node:http', value: summarize(measured.raw) };
        const what = `${name}, ${clients} client${clients === 1 ? '' : 's'}`;
        figures.push({ what, unit: 'ms', ours: summarize(measured.ours), yardstick, goal: { above } });
      }
    }
    return figures;
  },
};

async function viaServer(server: Server, task: AgentTask, clients: number): Promise<number[]> {
  const url = await startRun(server, task);
  return readLatencies(url, clients, task);
}

async function viaRawPipe(server: Server, task: AgentTask, clients: number): Promise<number[]> {
  return readLatencies(
    `${server.url}/?${new URLSearchParams({ clients: `${clients}`, prompt: promptOf(task) })}`,
    clients,
    task,
  );
}

async function readLatencies(url: string, clients: number, task: AgentTask): Promise<number[]> {
  const times = latencies();
  const streams = await Promise.all(Array.from({ length: clients }, () => openStream(url, times.reader(task.count))));
  const opened = await Promise.all(streams.map((stream) => stream.opened));
  await Promise.all(streams.map((stream) => stream.ended));
  const late = opened.filter((at) => at > (times.first() ?? 0n)).length;
  if (late > 0) throw new Error(`${late} of ${clients} clients connected after the first event`);
  if (times.all.length !== clients * task.count) {
    throw new Error(`${times.all.length} of ${clients * task.count} updates arrived`);
  }
  return times.all;
}
