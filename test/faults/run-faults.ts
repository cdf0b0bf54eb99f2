import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createRandom } from '../attacks/random.ts';
import type { ActionName } from './actions.ts';
import { FAULTS, type Fault, mountSmallDisks } from './faults.ts';
import { inject, type Outcome } from './harness.ts';
import { checkWorld, remoteHeads } from './invariants.ts';
import { createLedger, type Ledger } from './ledger.ts';
import { type FaultWorld, makeFaultWorld } from './world.ts';

/**
 * Injects faults into real servers and checks invariants: `npm run test:faults -- --runs 200 --seed 1`.
 * `--runs` is the number of kills of a server or an agent; each other fault occurs once per twenty of them.
 * `--only FAULT` selects a fault, `--step N` one injection. The seed and step of a violation repeat it.
 */
const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string' },
    step: { type: 'string' },
    worlds: { type: 'string', default: '2' },
  },
});
const [runs, seed] = [Number(values.runs), Number(values.seed)];

type Step = { number: number; fault: Fault; action: ActionName };
type Row = { injected: number; outcomes: Map<string, number>; violations: number };

const UNSHARE = '/usr/bin/unshare';

/** Steps, and so tickets, of one world. Each restart reads all tickets, so more would slow every step down. */
const MAX_STEPS_PER_WORLD = 20;

function plan(): Step[] {
  const steps: Omit<Step, 'number'>[] = [];
  for (const fault of FAULTS) {
    const times =
      fault.name === 'kill-server'
        ? Math.ceil((runs * 3) / 4)
        : fault.name === 'kill-agent'
          ? Math.floor(runs / 4)
          : Math.max(1, Math.round(runs / 20));
    for (let index = 0; index < times; index += 1) {
      const action = fault.actions[(index + seed) % fault.actions.length];
      if (action !== undefined) steps.push({ fault, action });
    }
  }
  return steps
    .map((step, number) => ({ number, ...step }))
    .filter(({ fault }) => values.only === undefined || values.only.split(',').includes(fault.name))
    .filter(({ number }) => values.step === undefined || Number(values.step) === number);
}

const rows = new Map<string, Row>();
const skipped = new Map<string, string>();
const open = new Set<FaultWorld>();
let failed = 0;

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function record(step: Step, { outcomes, violations }: Outcome, world: FaultWorld): void {
  const row = rows.get(step.fault.name) ?? { injected: 0, outcomes: new Map(), violations: 0 };
  rows.set(step.fault.name, row);
  row.injected += 1;
  for (const state of outcomes) row.outcomes.set(state, (row.outcomes.get(state) ?? 0) + 1);
  if (violations.length === 0) return;
  row.violations += 1;
  failed += 1;
  const folder = join(tmpdir(), `faults-${seed}-${step.number}`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'server.log'), world.log.join('\n'));
  writeFileSync(join(folder, 'violations.txt'), violations.join('\n'));
  print(
    `VIOLATION ${step.fault.name} during ${step.action}: --runs ${runs} --seed ${seed} --step ${step.number}; log in ${folder}`,
  );
  for (const violation of violations.slice(0, 8)) print(`  - ${violation.slice(0, 600)}`);
}

/** Runs steps one after another. A world with a violation is not used again. */
async function runSteps(steps: Step[]): Promise<void> {
  let current: { world: FaultWorld; ledger: Ledger; used: number; settings: Fault['settings'] } | undefined;
  for (let step = steps.shift(); step !== undefined; step = steps.shift()) {
    const { fault, action, number } = step;
    if (current && (current.used >= MAX_STEPS_PER_WORLD || current.settings !== fault.settings)) {
      await finish(current);
      current = undefined;
    }
    if (current === undefined) {
      const world = await makeFaultWorld(fault.settings);
      open.add(world);
      if (fault.name === 'disk-full') mountSmallDisks(world);
      await world.start();
      const ledger = createLedger();
      ledger.heads.set('main', remoteHeads(world).get('main') ?? '');
      current = { world, ledger, used: 0, settings: fault.settings };
    }
    current.used += 1;
    const about = { fault, action, seed: seed * 100_003 + number, ticketId: `F-${number}` };
    const started = Date.now();
    const outcome = await inject(current, about);
    record(step, outcome, current.world);
    print(
      `${String(number).padStart(4)} ${fault.name} during ${action}: ${outcome.outcomes.join(' ') || '-'} (${((Date.now() - started) / 1000).toFixed(1)} s)`,
    );
    if (outcome.violations.length > 0) {
      await close(current.world);
      current = undefined;
    }
  }
  if (current) await finish(current);
}

/** Stops a world gracefully, and checks that no process is left and that the store is intact. */
async function finish({ world, ledger }: { world: FaultWorld; ledger: Ledger }): Promise<void> {
  const stage = {
    world,
    ledger,
    random: createRandom(0),
    ticketId: '',
    seen: 0,
    undo: [],
    violations: [],
    restores: 0,
    unanswered: [],
  };
  const problems = await checkWorld(stage);
  const { code } = await world.server.stop();
  if (code !== 0) problems.push(`the server stopped with ${code}`);
  problems.push(...(await world.orphans()).map((orphan) => `a process outlived its server: ${orphan}`));
  problems.push(...(await world.storeProblems()));
  for (const problem of problems) print(`VIOLATION at the end of a world: ${problem}`);
  failed += problems.length;
  await close(world);
}

function printTable(): void {
  print('\n| fault | injected | runs by outcome | violations |\n|---|---|---|---|');
  for (const { name } of FAULTS) {
    const row = rows.get(name);
    const reason = skipped.get(name);
    if (reason !== undefined) print(`| ${name} | skipped | ${reason} | |`);
    if (row === undefined) continue;
    const outcomes = [...row.outcomes].sort(([, a], [, b]) => b - a).map(([state, count]) => `${count} ${state}`);
    print(`| ${name} | ${row.injected} | ${outcomes.join(', ') || 'no run was requested'} | ${row.violations} |`);
  }
  const total = [...rows.values()].reduce((sum, { injected }) => sum + injected, 0);
  print(`\n${total} injections, seed ${seed}: ${failed === 0 ? 'no violation' : `${failed} with violations`}`);
}

/** Continues in a private mount namespace if the user is root, so that no mount survives the process. */
function enterMountNamespace(): void {
  if (process.env.FAULTS_MOUNTS !== undefined || process.getuid?.() !== 0) return;
  if (process.execve === undefined || spawnSync(UNSHARE, ['--mount', 'true']).status !== 0) return;
  const args = [
    'unshare',
    '--mount',
    process.execPath,
    '--disable-warning=ExperimentalWarning',
    ...process.argv.slice(1),
  ];
  process.execve(UNSHARE, args, { ...process.env, FAULTS_MOUNTS: 'own' });
}

/** Handles a signal: closes all worlds, so that no process and no folder is left. */
async function abort(): Promise<void> {
  // Running steps fail without their server; such errors must not prevent the cleanup.
  process.on('uncaughtException', () => {});
  printTable();
  for (const world of open) await world.close();
  process.exit(130);
}

async function close(world: FaultWorld): Promise<void> {
  open.delete(world);
  await world.close();
}

async function main(): Promise<number> {
  enterMountNamespace();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void abort());
  const steps = plan().filter(({ fault }) => {
    const reason = fault.skip?.();
    if (reason !== undefined) skipped.set(fault.name, reason);
    return reason === undefined;
  });
  // Every process here sees the mounts, so a world with mounts runs alone.
  const mounting = steps.filter(({ fault }) => fault.name === 'disk-full');
  const special = steps.filter(({ fault }) => fault.settings !== undefined);
  const usual = steps.filter((step) => !mounting.includes(step) && !special.includes(step));
  const random = createRandom(seed);
  const order = usual.map((step) => ({ step, key: random.below(2 ** 30) })).sort((a, b) => a.key - b.key);
  const queue = [...special, ...order.map(({ step }) => step)];
  await Promise.all(Array.from({ length: Number(values.worlds) }, () => runSteps(queue)));
  await runSteps(mounting);
  printTable();
  return failed === 0 ? 0 : 1;
}

process.exit(await main());
