import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import type { Turn } from '../../standins/gemini-script.ts';
import type { Failure } from '../../standins/github-failures.ts';
import { processesIn } from '../helpers/processes.ts';
import type { ActionName } from './actions.ts';
import { loseAllButBackup } from './backup.ts';
import { startServerBeside } from './second-server.ts';
import { cancel, pause, type Stage, watch } from './stage.ts';

/** Something that goes wrong: arranged before the action (`arm`), or struck at a random point of it (`strike`). */
export type Fault = {
  name: string;
  actions: readonly ActionName[];
  /** Settings of a world of its own. */
  settings?: Record<string, string>;
  /** Why it cannot be tried here. */
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
  { name: 'model', actions: ['chat', 'make_plan', 'dev'], arm: troubleModel },
  { name: 'model-hangs', actions: ['chat', 'make_plan', 'dev'], arm: hangModel, strike: cancelOrRelease },
  { name: 'git-server', actions: ['create_ticket', 'sync', 'dev', 'dev', 'dev'], arm: failGit },
  { name: 'github-api', actions: ['dev'], arm: failApi },
  { name: 'clock-jump', actions: ALL, settings: clockSettings(), strike: jumpClock },
  { name: 'backup', actions: [...RUNS, 'approve', 'dev'], settings: {}, strike: loseAllButBackup },
  { name: 'clients', actions: ['chat', 'make_plan', 'dev'], strike: badClients },
  {
    name: 'disk-full',
    actions: ALL,
    skip: noMounts,
    strike: fillDisk,
  },
];

/** Once, or again while it recovers or soon after. */
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

/** One process of the agent's sandbox, whichever: the outer or the inner bubblewrap, or what runs in it. */
async function killAgent({ world, random, ticketId }: Stage): Promise<void> {
  const agents = processesIn(world.path('tickets', ticketId)).filter(({ command }) => !/^git\b/.test(command));
  if (agents.length === 0) return;
  try {
    process.kill(random.pick(agents).pid, 'SIGKILL');
  } catch {
    // It ended by itself.
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
  if (stage.world.server !== first) stage.violations.push('a second server took over from one that was well');
}

/** Whoever is the server afterwards, the frozen one must not be one beside it when it wakes up. */
async function frozenAndSecond(stage: Stage): Promise<void> {
  const { world, random } = stage;
  const first = world.server;
  first.process.kill('SIGSTOP');
  await pause(random.below(3000));
  await startServerBeside(stage);
  if (world.server === first) {
    stage.violations.push('a frozen server was not taken over from');
    first.process.kill('SIGCONT');
    return;
  }
  // It must be gone already: what has not woken up yet could still write.
  const gone = new Promise<boolean>((resolve) => {
    if (first.process.exitCode !== null || first.process.signalCode !== null) resolve(true);
    first.process.once('exit', () => resolve(true));
    setTimeout(() => resolve(false), 2000).unref();
  });
  if (!(await gone)) stage.violations.push('a server that was taken over from lives on');
}

function arrange({ world, heal }: Stage, failure: Failure): void {
  world.github.failNext(failure);
  // What was not met meanwhile must not meet a later request.
  heal.push(() => {
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
  const how: Partial<Failure> = random.pick([
    { status: 500 },
    { status: 503 },
    { status: 429, headers: { 'retry-after': '1' } },
    { reset: true },
    { reset: true, afterEffect: true },
    { status: 502, afterEffect: true },
    { hang: true },
  ] as const);
  arrange(stage, { match: random.pick(GIT_PHASES), times: 1 + random.below(3), ...how });
}

function hangGit(stage: Stage): void {
  const { random } = stage;
  arrange(stage, { match: random.pick(GIT_PHASES), hang: true, ...(random.chance(0.3) ? { afterEffect: true } : {}) });
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
  arrange(
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

/** Makes the next answers about the ticket begin with this; the script goes on after it. */
function beginWith({ world: { gemini }, ticketId, heal }: Stage, trouble: Turn): void {
  const hit = new Set<unknown>();
  let times = trouble.hang ? 1 : 3;
  heal.push(() => {
    times = 0;
  });
  gemini.on(
    (request) => {
      const isIt = request.operation === 'streamGenerateContent' && request.prompt.includes(`Ticket: ${ticketId}\n`);
      if (!isIt || hit.size >= times) return false;
      hit.add(request);
      return true;
    },
    [trouble],
  );
}

function troubleModel(stage: Stage): void {
  beginWith(
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
  beginWith(stage, stage.random.chance(0.5) ? { hang: true } : { text: 'It is', hang: true });
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

/** The wall clock of the server jumps, as after a suspend or when it is set right. */
async function jumpClock({ world, random, heal }: Stage): Promise<void> {
  const jump = (seconds: number) => {
    writeFileSync(world.path('clock'), String(seconds));
    world.server.process.kill('SIGWINCH');
  };
  heal.push(() => world.isUp() && jump(0));
  jump(random.pick([-86_400, -3600, -5, 60, 3600, 86_400 * 30]));
  await pause(random.below(2000));
  if (random.chance(0.5)) jump(random.pick([-3600, 0, 3600]));
}

/** Readers that leave at once, one that never reads, and one that comes back fifty times. */
async function badClients(stage: Stage): Promise<void> {
  const { world, random, ledger, ticketId } = stage;
  const runId = [...ledger.runs].find(([, run]) => run.ticketId === ticketId)?.[0];
  if (runId === undefined) return;
  const url = new URL(`/v1/runs/${runId}/events`, world.server.url);
  const stalled = new AbortController();
  stage.heal.push(() => stalled.abort());
  for (let count = 0; count < 10; count += 1) void fetch(url, { signal: stalled.signal }).catch(() => {});
  const leave = async () => {
    const gone = new AbortController();
    const leaving = watch(stage, runId, gone.signal);
    await pause(random.below(40));
    gone.abort();
    await leaving;
  };
  const comeBack = async () => {
    for (let count = 0; count < 50; count += 1) {
      const gone = new AbortController();
      const from = Math.max(0, ...(ledger.events.get(runId)?.keys() ?? []));
      const reading = watch(stage, runId, gone.signal, random.below(from + 1));
      await pause(random.below(30));
      gone.abort();
      await reading;
    }
  };
  await Promise.all([...Array.from({ length: 20 }, leave), comeBack()]);
}

/** Set by the command when it runs in a mount namespace of its own, so that no mount outlives it. */
function noMounts(): string | undefined {
  return process.env.FAULTS_MOUNTS === 'own' ? undefined : 'needs root and unshare(1), for a small file system';
}

/** Puts the folders of a server on small file systems, before it starts. */
export function mountSmallDisks(world: { path(...names: string[]): string; onEnd(work: () => unknown): void }): void {
  for (const folder of [world.path('data'), world.path('tickets')]) {
    mkdirSync(folder, { recursive: true });
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=48m,mode=0700', 'faults', folder]);
    world.onEnd(() => execFileSync('umount', ['--lazy', folder]));
  }
}

/** Runs that cannot be recorded wait for room, and so does who reads them: there is room again when this is over. */
async function fillDisk({ world, random }: Stage): Promise<void> {
  const folders = random.pick([['data'], ['tickets'], ['data', 'tickets']] as const);
  const fillers = folders.map((folder) => world.path(folder, '.filler'));
  for (const filler of fillers) {
    try {
      execFileSync('dd', ['if=/dev/zero', `of=${filler}`, 'bs=4k', 'status=none'], { stdio: 'ignore' });
    } catch {
      // Full, as it should be.
    }
  }
  await pause(500 + random.below(3000));
  for (const filler of fillers) rmSync(filler, { force: true });
}
