import { execFileSync } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { readManifest, restoreBackup } from '../../../src/housekeeping/restore.ts';
import { call } from '../../helpers/client.ts';
import { processesIn } from '../../helpers/processes.ts';
import { commitEntries } from '../../workspaces/world.ts';
import { createRandom, type Random } from '../random.ts';
import { makeTree, type Tree } from './hostile-trees.ts';
import { ask, CANCEL_MS, OPERATIONS, report, type Stage } from './operations.ts';
import { type Planted, plant } from './planter.ts';
import { UPSTREAM } from './repository.ts';
import { describe, type FuzzWorld, HEALTHY, makeFuzzWorld, REPO } from './world.ts';

/** Number of tickets in parallel. */
const CONCURRENCY = 3;
/** Random operations on each tree, besides backup, restore and deletion. */
const OPERATIONS_PER_TREE = 5;

export type Count = (operation: string, answer: string) => void;
export type Outcome = { violations: string[]; trees: { seed: number; kinds: string[] }[]; log: string[] };

type Server = Awaited<ReturnType<FuzzWorld['start']>>;
type Round = { world: FuzzWorld; server: Server; violations: string[]; count: Count };

/** The running round, and the planted trees that may race. */
const open = new Map<FuzzWorld, Planted[]>();

/** Stops the running round, so that no process and no folder is left. */
export async function closeAll(): Promise<void> {
  for (const [world, planted] of open) {
    await Promise.all(planted.map((one) => one.stop()));
    await world.close();
  }
}

/** Plays the tree of each seed in a ticket of one server, and checks invariants during and after. */
export async function playRound(seeds: readonly number[], count: Count): Promise<Outcome> {
  const world = await makeFuzzWorld();
  const violations: string[] = [];
  const trees: Outcome['trees'] = [];
  const planted: Planted[] = [];
  open.set(world, planted);
  const onRejection = (error: unknown) =>
    void violations.push(`uncaught: ${error instanceof Error ? error.stack : error}`);
  for (const event of ['unhandledRejection', 'uncaughtException']) process.on(event, onRejection);
  try {
    const server = await world.start(world.dir);
    const round: Round = { world, server, violations, count };
    await prepareHealthyTicket(round);
    const guarded = guardedBy(world);
    const before = (await Promise.all(guarded.map(describe))).flat();
    await createTickets(round, seeds);
    commitEntries(world.directory, UPSTREAM);

    await forEachConcurrently(seeds, async (seed) => {
      const tree = await playTree(round, seed, planted);
      trees.push({ seed, kinds: tree.kinds });
    });
    await checkEmptyStaging(round);
    const slow = trees.some(({ kinds }) => kinds.some((kind) => /pipes|expensive/.test(kind)));
    await abortBackup(round);
    const backup = await takeBackup(round, seeds);
    await Promise.all(planted.map((one) => one.stop()));
    if (backup !== undefined && !slow) await restore(round, backup, seeds);
    await removeTickets(round, seeds);
    await checkHealthyTicket(round);
    await server.app.close();
    checkNoProcessLeft(round);
    const after = (await Promise.all(guarded.map(describe))).flat();
    violations.push(...after.filter((line) => !before.includes(line)).map((line) => `changed outside: ${line}`));
    violations.push(...before.filter((line) => !after.includes(line)).map((line) => `missing outside: ${line}`));
    if (objectsContain(world.directory, world.canary)) violations.push('content from outside was pushed');
  } catch (error) {
    violations.push(`the harness gave up: ${error instanceof Error ? error.stack : error}`);
  } finally {
    for (const event of ['unhandledRejection', 'uncaughtException']) process.off(event, onRejection);
    await Promise.all(planted.map((one) => one.stop()));
    open.delete(world);
    await world.close().catch((error) => violations.push(`the folder of the round could not be deleted: ${error}`));
  }
  return { violations, trees, log: world.log };
}

/** Lists the paths that no tree may change. */
function guardedBy(world: FuzzWorld): string[] {
  return [world.path('outside'), world.path('home'), world.path('tickets', HEALTHY), world.path('data', 'owner-id')];
}

async function prepareHealthyTicket({ world, server }: Round): Promise<void> {
  const created = await call(server, 'POST', '/v1/tickets', { ticket_id: HEALTHY, repo_url: REPO });
  if (created.status !== 201) throw new Error(`no ticket was created: ${JSON.stringify(created.body)}`);
  await writeFile(world.path('tickets', HEALTHY, 'canary.txt'), `${world.canary}\n`);
}

async function createTickets({ server }: Round, seeds: readonly number[]): Promise<void> {
  await forEachConcurrently(seeds, async (seed) => {
    const request = { ticket_id: `F-${seed}`, repo_url: REPO };
    const { status, body } = await call(server, 'POST', '/v1/tickets', request);
    if (status !== 201) throw new Error(`no ticket was created: ${JSON.stringify(body)}`);
  });
}

async function playTree(round: Round, seed: number, planted: Planted[]): Promise<Tree> {
  const { world } = round;
  const random = createRandom(seed);
  const stage: Stage = { ...round, ticketId: `F-${seed}`, random };
  const inConversation = random.chance(0.2);
  const workspace = world.path('tickets', stage.ticketId);
  // A chat creates the folder of the conversation.
  if (inConversation) await OPERATIONS.chat?.run(stage);
  const folder = inConversation
    ? join(world.path('data', 'conversations', stage.ticketId), 'scripted', 'chats')
    : workspace;
  const tree = makeTree(random, inConversation ? 'conversation' : 'workspace', world.outside);
  const racing = await plant(folder, tree.steps);
  planted.push(racing);
  for (const name of choose(random, tree)) await OPERATIONS[name]?.run(stage);
  // Some trees race on during the backup.
  if (random.chance(0.7)) await racing.stop();
  return tree;
}

function choose(random: Random, { isSlow }: Tree): string[] {
  const all = Object.entries(OPERATIONS);
  // Operations without cancellation may take half a minute with slow trees.
  const fitting = isSlow && random.chance(0.8) ? all.filter(([, { cancels }]) => cancels) : all;
  const weighted = fitting.map(([name, { weight }]) => [weight, name] as const);
  return Array.from({ length: OPERATIONS_PER_TREE }, () => random.weighted(weighted));
}

/** Requests a backup and disconnects. */
async function abortBackup(round: Round): Promise<void> {
  const { server, violations } = round;
  const abort = new AbortController();
  const reading = fetch(new URL('/v1/backup', server.url), { method: 'POST', signal: abort.signal }).catch(() => {});
  await pause(300);
  abort.abort();
  await reading;
  const staged = await leftInStaging(round);
  if (staged.length > 0)
    violations.push(`a backup still runs ${CANCEL_MS} ms after its reader disconnected: ${staged}`);
  await server.app.backups.whenIdle();
}

/** Takes a backup and checks its manifest; returns its file. */
async function takeBackup(round: Round, seeds: readonly number[]): Promise<string | undefined> {
  const { world, server, violations, count } = round;
  const response = await fetch(new URL('/v1/backup', server.url), { method: 'POST' });
  if (response.status !== 200 || response.body === null) {
    violations.push(`the backup failed: ${await response.text()}`);
    return undefined;
  }
  const file = world.path('backup.tar.gz');
  await pipeline(Readable.fromWeb(response.body), createWriteStream(file));
  const manifest = await readManifest(file);
  if (!manifest.tickets.includes(HEALTHY)) violations.push('the backup misses the healthy ticket');
  if (manifest.left_out.some(({ ticket_id }) => ticket_id === HEALTHY))
    violations.push('the backup leaves out a part of the healthy ticket');
  for (const { ticket_id, what } of manifest.left_out) {
    count('left out of backup', what.replaceAll(/\d+/g, 'N').slice(0, 60));
    if (/unexpected error/.test(what)) violations.push(`${ticket_id}: left out of the backup: ${what}`);
    if (what.includes(world.dir)) violations.push(`${ticket_id}: the backup reveals a folder of the server: ${what}`);
  }
  count('backup', 'ok');
  await server.app.backups.whenIdle();
  await checkEmptyStaging(round);
  if (seeds.length === 0) return undefined;
  return file;
}

/** Restores the backup into new folders, and reads and syncs each ticket there. */
async function restore({ world, violations, count }: Round, file: string, seeds: readonly number[]): Promise<void> {
  const folder = world.path('restored');
  await mkdir(folder);
  await restoreBackup(file, { DATA_DIR: join(folder, 'data'), TICKETS_ROOT: join(folder, 'tickets') });
  await rm(file);
  const server = await world.start(folder);
  try {
    const restored = await readdir(join(folder, 'data', 'gitdirs'));
    for (const name of restored.filter((name) => name !== `${HEALTHY}.git`)) {
      if (objectsContain(join(folder, 'data', 'gitdirs', name), world.canary))
        violations.push(`${name}: the backup holds content from outside`);
    }
    for (const seed of seeds) {
      const stage: Stage = { world, server, violations, ticketId: `F-${seed}`, random: createRandom(seed), count };
      if (!restored.includes(`${stage.ticketId}.git`)) continue;
      await ask(stage, 'diff after restore', 'GET', '/diff');
      await ask(stage, 'sync after restore', 'POST', '/sync');
    }
  } finally {
    await server.app.close();
  }
}

async function removeTickets(round: Round, seeds: readonly number[]): Promise<void> {
  const { world, server, violations } = round;
  await forEachConcurrently(seeds, async (seed) => {
    const stage: Stage = { ...round, ticketId: `F-${seed}`, random: createRandom(seed) };
    const answer = await ask(stage, 'delete', 'DELETE', '?force=true');
    if (answer && answer.status !== 204 && answer.status !== 404) report(stage, `was not deleted: ${answer.text}`);
  });
  await server.app.workspaces.maintenance.emptyTrash();
  await server.app.workspaces.maintenance.trashEmptied();
  await checkEmptyStaging(round);
  for (const folder of [
    'data/trash',
    'data/tmp',
    'data/conversations',
    'data/gitdirs',
    'tickets',
    'tickets/.trash',
    'tickets/.quarantine',
  ]) {
    const names = await readdir(world.path(folder)).catch(() => []);
    const left = names.filter(
      (name) => !/^(?:\.owner-id|\.staging|\.trash|\.quarantine|HEALTHY(?:\.git)?)$/.test(name),
    );
    if (left.length > 0) violations.push(`left in ${folder}: ${left}`);
  }
}

/** Checks that operations delete their staged files. */
async function checkEmptyStaging(round: Round): Promise<void> {
  const { violations } = round;
  const left = await leftInStaging(round);
  if (left.length > 0) violations.push(`left in staging: ${left}`);
}

/** Waits until the staging folders are empty, at most `CANCEL_MS`; returns the names that are left. */
async function leftInStaging({ world }: Round): Promise<string[]> {
  const until = Date.now() + CANCEL_MS;
  for (;;) {
    const folders = ['data/staging', 'tickets/.staging'].map((name) => readdir(world.path(name)));
    const left = (await Promise.all(folders)).flat();
    if (left.length === 0 || Date.now() > until) return left;
    await pause(50);
  }
}

async function checkHealthyTicket(round: Round): Promise<void> {
  const { server, world, violations } = round;
  const { status, body } = await call(server, 'GET', `/v1/tickets/${HEALTHY}/diff`);
  if (status !== 200 || !JSON.stringify(body).includes(world.canary))
    violations.push(`the healthy ticket answers ${status}`);
}

function checkNoProcessLeft({ world, violations }: Round): void {
  const left = processesIn(`${world.dir}/`);
  violations.push(...left.map(({ command }) => `a process still runs: ${command.slice(0, 200)}`));
}

/** Returns whether an object of a repository contains a text. */
function objectsContain(gitDir: string, text: string): boolean {
  const output = execFileSync('git', ['--git-dir', gitDir, 'cat-file', '--batch-all-objects', '--batch', '--buffer'], {
    env: {
      PATH: process.env.PATH,
      HOME: '/nonexistent',
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: 'safe.directory',
      GIT_CONFIG_VALUE_0: '*',
    },
    maxBuffer: 2 ** 30,
  });
  return output.includes(text);
}

/** Runs an asynchronous function on each value, `CONCURRENCY` at a time. */
async function forEachConcurrently<T>(values: readonly T[], task: (value: T) => Promise<void>): Promise<void> {
  const left = [...values];
  await Promise.all(
    Array.from({ length: CONCURRENCY }, async () => {
      for (let value = left.shift(); value !== undefined; value = left.shift()) await task(value);
    }),
  );
}
