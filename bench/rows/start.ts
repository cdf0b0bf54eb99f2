import { setTimeout as pause } from 'node:timers/promises';
import { type Lab, residentMemory } from '../lab.ts';
import type { Row } from '../row.ts';
import { median } from '../statistics.ts';

/** Time after which V8 detects idleness and releases memory of the start. */
const IDLE_MS = 20_000;

/** Measures the time from process start until `/readyz` returns 200, on an existing data folder, and the idle memory. */
export async function startOnce(lab: Lab, env: Record<string, string>): Promise<{ ready: number; memory: number }> {
  const startedAt = performance.now();
  const server = await lab.server(env);
  while ((await fetch(`${server.url}/readyz`)).status !== 200) await pause(5);
  const ready = performance.now() - startedAt;
  await pause(lab.short ? 500 : IDLE_MS);
  const memory = residentMemory(server.process.pid);
  await server.stop();
  return { ready, memory };
}

export const start: Row = {
  name: 'start',
  title: 'Start of the server',
  short: true,
  async measure(lab) {
    const env = { ...lab.settings(), ...(await lab.standIns()).env };
    await startOnce(lab, env);
    const all = [];
    for (let round = 0; round < (lab.short ? 3 : 5); round++) all.push(await startOnce(lab, env));
    return [
      { what: 'until `/readyz`', unit: 'ms', ours: median(all.map(({ ready }) => ready)), goal: { atMost: 1000 } },
      {
        what: 'resident memory, idle',
        unit: 'MB',
        ours: median(all.map(({ memory }) => memory)) / 1e6,
        goal: { atMost: 130 },
      },
    ];
  },
};
