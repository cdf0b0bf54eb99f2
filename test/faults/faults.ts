import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import type { Turn } from '../../standins/gemini-script.ts';
import type { Failure } from '../../standins/github-failures.ts';
import { processesIn } from '../helpers/processes.ts';
import type { ActionName } from './actions.ts';
import { loseAllButBackup } from './backup.ts';
import { startServerBeside } from './second-server.ts';
import { cancel, pause, type Stage, watch } from './stage.ts';

/** A fault that is prepared before the action (`arm`) or injected at a random point of it (`strike`). */
export type Fault = {
  name: string;
  actions: readonly ActionName[];
  /** Settings of the server; such a fault gets its own world. */
  settings?: Record<string, string>;
  /** Returns why this machine cannot inject the fault. */
  skip?(): string | undefined;
  arm?(stage: Stage): void;
  strike?(stage: Stage): Promise<void>;
};

const ALL = ['create_ticket', 'chat', 'make_plan', 'approve', 'dev', 'permission', 'cancel', 'delete', 'sync'] as const;
const RUNS = ['chat', 'make_plan', 'dev', 'permission', 'cancel'] as const;

export const FAULTS: readonly Fault[] = [
  { name: 'kill-server', actions: [...ALL, 'dev', 'dev', 'chat'], strike: killServer },
  { name: 'kill-agent', actions: RUNS, strike: killAgent },
  { name: 'stop-server', actions: ALL, strike: terminateServer },
  { name: 'freeze-server', actions: ALL, strike: freezeServer },
  { name: 'second-server', actions: ALL, strike: secondServer },
  { name: 'frozen-and-second', actions: RUNS, strike: frozenAndSecond },
  { name: 'kill-while-git-hangs', actions: ['create_ticket', 'dev', 'sync'], arm: hangGit, strike: killServerLate },
  { name: 'model', actions: ['chat', 'make_plan', 'dev'], arm: failModel },
  { name: 'model-hangs', actions: ['chat', 'make_plan', 'dev'], arm: hangModel, strike: cancelOrRelease },
  { name: 'git-server', actions: ['create_ticket', 'sync', 'dev', 'dev', 'dev'], arm: failGit },
  { name: 'github-api', actions: ['dev'], arm: failApi },
  { name: 'clock-jump', actions: ALL, settings: clockSettings(), strike: jumpClock },
  { name: 'backup', actions: [...RUNS, 'approve', 'dev'], settings: {}, strike: loseAllButBackup },
  { name: 'clients', actions: ['chat', 'make_plan', 'dev'], strike: badClients },
  {
    name: 'disk-full',
    actions: ALL,
    skip: mountSkipReason,
    strike: fillDisk,
  },
];

/** Kills the server once, or a second time during or soon after its recovery. */
async function killServer({ world, random }: Stage): Promise<void> {
  await world.server.stop('SIGKILL');
  if (!random.chance(0.25)) return;
  await world.start();
  await pause(random.below(1500));
  await world.server.stop('SIGKILL');
}

async function terminateServer({ world }: Stage): Promise<void> {
  await world.server.stop('SIGTERM');
}

/** Kills a random process of the agent's sandbox: the outer or inner bubblewrap, or a program in it. */
async function killAgent({ world, random, ticketId }: Stage): Promise<void> {
  const agents = processesIn(world.path('tickets', ticketId)).filter(({ command }) => !/^git\b/.test(command));
  if (agents.length === 0) return;
  try {
    process.kill(random.pick(agents).pid, 'SIGKILL');
  } catch {
    // It has already exited.
  }
}

async function freezeServer({ world, random }: Stage): Promise<void> {
  const { process: frozen } = world.server;
  frozen.kill('SIGSTOP');
  await pause(500 + random.below(6000));
  frozen.kill('SIGCONT');
}

async function secondServer(stage: Stage): Promise<void> {
  const first = stage.world.server;
  await startServerBeside(stage);
  if (stage.world.server !== first) stage.violations.push('a second server took over from a healthy one');
}

/** Freezes a server and starts a second one, which must take over and stop the first. */
async function frozenAndSecond(stage: Stage): Promise<void> {
  const { world, random } = stage;
  const first = world.server;
  first.process.kill('SIGSTOP');
  await pause(random.below(3000));
  await startServerBeside(stage);
  if (world.server === first) {
    stage.violations.push('the second server did not take over from a frozen one');
    first.process.kill('SIGCONT');
    return;
  }
  // The first server must have exited by now: a frozen one could still write when it resumes.
  const exited = new Promise<boolean>((resolve) => {
    if (first.process.exitCode !== null || first.process.signalCode !== null) resolve(true);
    first.process.once('exit', () => resolve(true));
    setTimeout(() => resolve(false), 2000).unref();
  });
  if (!(await exited)) stage.violations.push('a server still runs after another took over');
}

function failNext({ world, undo }: Stage, failure: Failure): void {
  world.github.failNext(failure);
  // A failure that is left over must not affect later requests.
  undo.push(() => {
    failure.match = /(?!)/;
  });
}

const GIT_PHASES = [
  /GET .*\/info\/refs\?service=git-upload-pack/,
  /POST .*\/git-upload-pack/,
  /GET .*\/info\/refs\?service=git-receive-pack/,
  /POST .*\/git-receive-pack/,
] as const;

function failGit(stage: Stage): void {
  const { random } = stage;
  const failure: Partial<Failure> = random.pick([
    { status: 500 },
    { status: 503 },
    { status: 429, headers: { 'retry-after': '1' } },
    { reset: true },
    { reset: true, afterEffect: true },
    { status: 502, afterEffect: true },
    { hang: true },
  ] as const);
  failNext(stage, { match: random.pick(GIT_PHASES), times: 1 + random.below(3), ...failure });
}

function hangGit(stage: Stage): void {
  const { random } = stage;
  failNext(stage, { match: random.pick(GIT_PHASES), hang: true, ...(random.chance(0.3) && { afterEffect: true }) });
}

async function killServerLate(stage: Stage): Promise<void> {
  await pause(stage.random.below(1500));
  await killServer(stage);
}

function failApi(stage: Stage): void {
  const { random } = stage;
  const secondary = {
    status: 403,
    headers: { 'retry-after': '1' },
    body: { message: 'You have exceeded a secondary rate limit. Please wait a few minutes before you try again.' },
  };
  failNext(
    stage,
    random.pick([
      { match: /POST .*\/pulls$/, reset: true, afterEffect: true },
      { match: /POST .*\/pulls$/, status: 502, afterEffect: true },
      { match: /POST .*\/pulls$/, status: 500, times: 2 },
      { match: /POST .*\/pulls$/, ...secondary },
      { match: /GET .*\/pulls\?/, status: 503, times: 1 + random.below(5) },
      { match: /GET .*\/pulls\?/, reset: true, times: 1 + random.below(3) },
      { match: /GET .*\/pulls\?/, ...secondary, times: 2 },
      { match: /GET \/repos\/acme\/duration$/, status: 502, times: 1 + random.below(5) },
    ] satisfies Failure[]),
  );
}

/** Inserts a turn before the scripted ones of the ticket: once if it hangs, else three times. */
function insertTurn({ world: { gemini }, ticketId, undo }: Stage, turn: Turn): void {
  const hit = new Set<unknown>();
  let times = turn.hang ? 1 : 3;
  undo.push(() => {
    times = 0;
  });
  gemini.on(
    (request) => {
      const matches = request.operation === 'streamGenerateContent' && request.prompt.includes(`Ticket: ${ticketId}\n`);
      if (!matches || hit.size >= times) return false;
      hit.add(request);
      return true;
    },
    [turn],
  );
}

function failModel(stage: Stage): void {
  insertTurn(
    stage,
    stage.random.pick<Turn>([
      { garbage: true },
      { text: 'It is', garbage: true },
      { reset: true },
      { text: 'It is', reset: true },
      { error: { status: 429, retryAfter: 1 } },
      { error: { status: 503 } },
      { error: { status: 500 } },
      { error: { status: 400, message: 'API key not valid. Please pass a valid API key.' } },
    ]),
  );
}

function hangModel(stage: Stage): void {
  insertTurn(stage, stage.random.chance(0.5) ? { hang: true } : { text: 'It is', hang: true });
}

async function cancelOrRelease(stage: Stage): Promise<void> {
  const { world, random, ledger, ticketId } = stage;
  const mine = ({ prompt }: { prompt: string }) => prompt.includes(`Ticket: ${ticketId}\n`);
  await Promise.race([world.gemini.waitFor((request) => mine(request) && request.state === 'held'), pause(15_000)]);
  await pause(random.below(300));
  if (random.chance(0.5)) return world.gemini.release(mine);
  for (const [runId, run] of ledger.runs) {
    if (run.ticketId === ticketId) await cancel(stage, runId);
  }
}

function clockSettings(): Record<string, string> {
  return { NODE_OPTIONS: `--import ${new URL('clock.mjs', import.meta.url)}` };
}

/** Shifts the wall clock of the server, as after a suspend or a correction. */
async function jumpClock({ world, random, undo }: Stage): Promise<void> {
  const jump = (seconds: number) => {
    writeFileSync(world.path('clock'), String(seconds));
    world.server.process.kill('SIGWINCH');
  };
  undo.push(() => world.isUp() && jump(0));
  jump(random.pick([-86_400, -3600, -5, 60, 3600, 86_400 * 30]));
  await pause(random.below(2000));
  if (random.chance(0.5)) jump(random.pick([-3600, 0, 3600]));
}

/** Adds readers that disconnect at once, readers that never read, and one that reconnects fifty times. */
async function badClients(stage: Stage): Promise<void> {
  const { world, random, ledger, ticketId } = stage;
  const runId = [...ledger.runs].find(([, run]) => run.ticketId === ticketId)?.[0];
  if (runId === undefined) return;
  const url = new URL(`/v1/runs/${runId}/events`, world.server.url);
  const stalled = new AbortController();
  stage.undo.push(() => stalled.abort());
  for (let count = 0; count < 10; count += 1) void fetch(url, { signal: stalled.signal }).catch(() => {});
  const disconnect = async () => {
    const abort = new AbortController();
    const reading = watch(stage, runId, abort.signal);
    await pause(random.below(40));
    abort.abort();
    await reading;
  };
  const reconnect = async () => {
    for (let count = 0; count < 50; count += 1) {
      const abort = new AbortController();
      const from = Math.max(0, ...(ledger.events.get(runId)?.keys() ?? []));
      const reading = watch(stage, runId, abort.signal, random.below(from + 1));
      await pause(random.below(30));
      abort.abort();
      await reading;
    }
  };
  await Promise.all([...Array.from({ length: 20 }, disconnect), reconnect()]);
}

/** Returns why no small file system can be mounted. `run-faults.ts` sets the variable in a private mount namespace. */
function mountSkipReason(): string | undefined {
  return process.env.FAULTS_MOUNTS === 'own' ? undefined : 'mounting a small file system needs root and unshare(1)';
}

/** Mounts small file systems on the folders of a server before it starts. */
export function mountSmallDisks(world: { path(...names: string[]): string; onEnd(task: () => unknown): void }): void {
  for (const folder of [world.path('data'), world.path('tickets')]) {
    mkdirSync(folder, { recursive: true });
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=48m,mode=0700', 'faults', folder]);
    world.onEnd(() => execFileSync('umount', ['--lazy', folder]));
  }
}

/** Fills the disk for some seconds. Runs that cannot be persisted, and their readers, wait for free space. */
async function fillDisk({ world, random }: Stage): Promise<void> {
  const folders = random.pick([['data'], ['tickets'], ['data', 'tickets']] as const);
  const fillers = folders.map((folder) => world.path(folder, '.filler'));
  for (const filler of fillers) {
    try {
      execFileSync('dd', ['if=/dev/zero', `of=${filler}`, 'bs=4k', 'status=none'], { stdio: 'ignore' });
    } catch {
      // The disk is full.
    }
  }
  await pause(500 + random.below(3000));
  for (const filler of fillers) rmSync(filler, { force: true });
}
