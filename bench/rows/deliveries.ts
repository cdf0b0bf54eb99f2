import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { AgentTask } from '../agent-definition.ts';
import { serverWithTicket, startRun } from '../agent-runs.ts';
import { openStream } from '../clients.ts';
import type { Server } from '../lab.ts';
import type { Row } from '../row.ts';
import { interleave, median } from '../statistics.ts';

const LOOP = fileURLToPath(new URL('../yardsticks/write-loop.ts', import.meta.url));
const CLIENTS = 1000;

export const deliveries: Row = {
  name: 'deliveries',
  title: '1,000 clients on one run',
  short: true,
  async measure(lab) {
    const task: AgentTask = { kind: 'tool', delayMs: 6000, count: lab.short ? 100 : 300, bytes: 120, everyMs: 0 };
    const ours = await serverWithTicket(lab);
    const recorded = await (await fetch(await startRun(ours, { ...task, delayMs: 0 }))).text();
    const file = join(lab.dir, 'frames');
    // The frames that a client receives while the agent works.
    const frames = recorded.split('\n\n').filter((frame) => frame.includes('"tool-1"'));
    await writeFile(file, frames.join('\n\n'));
    const loop = await lab.startProgram([LOOP, file]);
    const measured = await interleave(lab.short ? 2 : 5, {
      ours: async () => deliveriesPerSecond(await startRun(ours, task), frames.length),
      loop: () => deliveriesPerSecond(`${loop.url}/?clients=${CLIENTS}`, frames.length),
    });
    const yardstick = { name: '`res.write` loop, nothing kept', value: median(measured.loop) };
    return [{ what: 'deliveries', unit: '/s', ours: median(measured.ours), yardstick, goal: { times: 0.8 } }];
  },
};

/** Measures from the first event at any client to the end of the last stream. */
async function deliveriesPerSecond(url: Server['url'], count: number): Promise<number> {
  let first: number | undefined;
  const streams = [];
  const onText = (text: string) => {
    if (first === undefined && text.includes('"tool-1"')) first = performance.now();
  };
  for (let index = 0; index < CLIENTS; index++)
    streams.push(await openStream(url, first === undefined ? onText : undefined));
  await Promise.all(streams.map((stream) => stream.opened));
  if (first !== undefined && !url.includes('clients=')) throw new Error('the clients connected too late');
  await Promise.all(streams.map((stream) => stream.ended));
  const shortest = Math.min(...streams.map((stream) => stream.bytes()));
  if (shortest < count * 120) throw new Error(`a client received only ${shortest} bytes`);
  return (CLIENTS * count) / ((performance.now() - (first ?? 0)) / 1000);
}
