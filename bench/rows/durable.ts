import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Row } from '../row.ts';
import { seed } from '../seed.ts';
import { interleave, median } from '../statistics.ts';

const WRITERS = fileURLToPath(new URL('../writers.ts', import.meta.url));
const BATCHES = fileURLToPath(new URL('../yardsticks/batches.ts', import.meta.url));
const RUNS = 50;
const run = promisify(execFile);

export const durable: Row = {
  name: 'durable',
  title: '50 runs at once',
  short: true,
  async measure(lab) {
    const perRun = lab.short ? 400 : 2000;
    const measured = await interleave(lab.short ? 2 : 5, {
      ours: async (round) => {
        const directory = join(lab.dir, `ours-${round}`);
        await seed(directory, { tickets: RUNS, events: 10, bytes: 10 });
        return runAndParse([WRITERS, directory, `${RUNS}`, `${perRun}`]);
      },
      batches: (round) => runAndParse([BATCHES, join(lab.dir, `batches-${round}`), `${RUNS * perRun}`]),
    });
    const yardstick = { name: 'better-sqlite3, batches of 100', value: median(measured.batches) };
    return [{ what: 'durable events', unit: '/s', ours: median(measured.ours), yardstick, goal: { times: 0.5 } }];
  },
};

async function runAndParse(args: string[]): Promise<number> {
  return Number((await run(process.execPath, args)).stdout);
}
