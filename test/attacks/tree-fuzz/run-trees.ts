import { mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { KIND_NAMES } from './hostile-trees.ts';
import { closeAll, type Outcome, playRound } from './round.ts';

/**
 * Plants hostile trees in workspaces and conversations, and checks how real servers handle them: `npm run test:trees --
 * --trees 500 --seed 1`. `--user ordinary` drops the rights of root first. `--tree SEED,SEED` replays the trees that a
 * violation lists.
 */
const { values } = parseArgs({
  options: {
    trees: { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
    user: { type: 'string', default: process.getuid?.() === 0 ? 'root' : 'ordinary' },
    tree: { type: 'string' },
    round: { type: 'string', default: '10' },
  },
});
/** An id that no user of the machine has. */
const ORDINARY = ['--reuid=12345', '--regid=12345', '--clear-groups'];
/** Distance between the first tree seeds of two run seeds. */
const SEEDS_PER_RUN = 100_000;

const answers = new Map<string, Map<string, number>>();
const kinds = new Map<string, { trees: number; violations: number }>();
let failed = 0;

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function count(operation: string, answer: string): void {
  const row = answers.get(operation) ?? new Map<string, number>();
  answers.set(operation, row);
  row.set(answer, (row.get(answer) ?? 0) + 1);
}

function record(number: number, { violations, trees, log }: Outcome): void {
  for (const { kinds: names } of trees) {
    for (const name of names) {
      const row = kinds.get(name) ?? { trees: 0, violations: 0 };
      kinds.set(name, row);
      row.trees += 1;
      if (violations.length > 0) row.violations += 1;
    }
  }
  if (violations.length === 0) return;
  failed += violations.length;
  const folder = join(tmpdir(), `trees-${process.getuid?.()}-${values.seed}-${number}`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'server.log'), log.join(''));
  writeFileSync(join(folder, 'violations.txt'), violations.join('\n'));
  print(`VIOLATION in round ${number}: --tree ${trees.map(({ seed }) => seed).join(',')}; log in ${folder}`);
  for (const violation of violations.slice(0, 12)) print(`  - ${violation.slice(0, 600)}`);
  for (const { seed, kinds: names } of trees) print(`    ${seed}: ${names.join(', ')}`);
}

function printTable(trees: number): void {
  print('\n| operation | answers |\n|---|---|');
  for (const [operation, row] of [...answers].sort()) {
    const sorted = [...row].sort(([, a], [, b]) => b - a).map(([answer, times]) => `${times} ${answer}`);
    print(`| ${operation} | ${sorted.join(', ')} |`);
  }
  print('\n| kind | trees |\n|---|---|');
  for (const name of KIND_NAMES) print(`| ${name} | ${kinds.get(name)?.trees ?? 0} |`);
  print(
    `\n${trees} trees as ${values.user}, seed ${values.seed}: ${failed === 0 ? 'no violation' : `${failed} violations`}`,
  );
}

/** Continues as another user in the same process. */
function becomeOrdinary(): void {
  if (process.execve === undefined) throw new Error('Switching to another user needs a newer Node.js.');
  process.chdir(tmpdir());
  process.execve('/usr/bin/setpriv', ['setpriv', ...ORDINARY, process.execPath, ...process.argv.slice(1)], process.env);
}

async function main(): Promise<number> {
  if (values.user === 'ordinary' && process.getuid?.() === 0) becomeOrdinary();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void closeAll().finally(() => process.exit(130)));
  }
  const first = Number(values.seed) * SEEDS_PER_RUN;
  const seeds =
    values.tree?.split(',').map(Number) ?? Array.from({ length: Number(values.trees) }, (_, index) => first + index);
  print(`${seeds.length} trees as ${values.user}, seed ${values.seed}`);
  for (let start = 0; start < seeds.length; start += Number(values.round)) {
    const started = Date.now();
    const number = start / Number(values.round);
    const outcome = await playRound(seeds.slice(start, start + Number(values.round)), count);
    record(number, outcome);
    print(`round ${number}: ${outcome.violations.length} violations (${((Date.now() - started) / 1000).toFixed(1)} s)`);
  }
  printTable(seeds.length);
  return failed === 0 ? 0 : 1;
}

process.exit(await main());
