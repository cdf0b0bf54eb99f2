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
import { ask, CANCEL_MS, complain, OPERATIONS, type Stage } from './operations.ts';
import { type Planted, plant } from './planter.ts';
import { UPSTREAM } from './repository.ts';
import { describe, type FuzzWorld, makeFuzzWorld, REPO, WELL } from './world.ts';

/** Tickets that are worked with at once. */
const AT_ONCE = 3;
/** Operations on each tree, beside backup, restore and deletion, which every tree goes through. */
const OPERATIONS_OF_A_TREE = 5;

export type Count = (operation: string, answer: string) => void;
export type Outcome = { violations: string[]; trees: { seed: number; kinds: string[] }[]; log: string[] };

type Server = Awaited<ReturnType<FuzzWorld['start']>>;
type Round = { world: FuzzWorld; server: Server; violations: string[]; count: Count };

/** The present round, and what races in it. */
const open = new Map<FuzzWorld, Planted[]>();

/** Ends the present round, such that no process and no folder stays. */
export async function abandon(): Promise<void> {
  for (const [world, planted] of open) {
    await Promise.all(planted.map((one) => one.stop()));
    await world.close();
  }
}

/** One server with a ticket for each seed, and what must be true of it while it lives and afterwards. */
export async function playRound(seeds: readonly number[], count: Count): Promise<Outcome> {
  const world = await makeFuzzWorld();
  const violations: string[] = [];
  const trees: Outcome['trees'] = [];
  const planted: Planted[] = [];
  open.set(world, planted);
  const onRejection = (error: unknown) =>
    void violations.push(`nobody caught ${error instanceof Error ? error.stack : error}`);
  for (const event of ['unhandledRejection', 'uncaughtException']) process.on(event, onRejection);
  try {
    const server = await world.start(world.dir);
    const round: Round = { world, server, violations, count };
    await prepareWell(round);
    const guarded = guardedBy(world);
    const before = (await Promise.all(guarded.map(describe))).flat();
    await createTickets(round, seeds);
    commitEntries(world.directory, UPSTREAM);

    await eachOf(seeds, async (seed) => {
      const tree = await playTree(round, seed, planted);
      trees.push({ seed, kinds: tree.kinds });
    });
    await checkEmptyStaging(round);
    const slow = trees.some(({ kinds }) => kinds.some((kind) => /pipes|expensive/.test(kind)));
    await leaveBackup(round);
    const backup = await takeBackup(round, seeds);
    await Promise.all(planted.map((one) => one.stop()));
    if (backup !== undefined && !slow) await restore(round, backup, seeds);
    await removeTickets(round, seeds);
    await checkWell(round);
    await server.app.close();
    checkNothingLeft(round);
    const after = (await Promise.all(guarded.map(describe))).flat();
    violations.push(...after.filter((line) => !before.includes(line)).map((line) => `changed outside: ${line}`));
    violations.push(...before.filter((line) => !after.includes(line)).map((line) => `gone outside: ${line}`));
    if (objectsHold(world.directory, world.canary)) violations.push('what is outside was pushed');
  } catch (error) {
    violations.push(`the harness gave up: ${error instanceof Error ? error.stack : error}`);
  } finally {
    for (const event of ['unhandledRejection', 'uncaughtException']) process.off(event, onRejection);
    await Promise.all(planted.map((one) => one.stop()));
    open.delete(world);
    await world.close().catch((error) => violations.push(`the folder of the round could not be removed: ${error}`));
  }
  return { violations, trees, log: world.log };
}

/** What no tree may change. */
function guardedBy(world: FuzzWorld): string[] {
  return [world.path('outside'), world.path('home'), world.path('tickets', WELL), world.path('data', 'owner-id')];
}

async function prepareWell({ world, server }: Round): Promise<void> {
  const created = await call(server, 'POST', '/v1/tickets', { ticket_id: WELL, repo_url: REPO });
  if (created.status !== 201) throw new Error(`no ticket was made: ${JSON.stringify(created.body)}`);
  await writeFile(world.path('tickets', WELL, 'canary.txt'), `${world.canary}\n`);
}

async function createTickets({ server }: Round, seeds: readonly number[]): Promise<void> {
  await eachOf(seeds, async (seed) => {
    const request = { ticket_id: `F-${seed}`, repo_url: REPO };
    const { status, body } = await call(server, 'POST', '/v1/tickets', request);
    if (status !== 201) throw new Error(`no ticket was made: ${JSON.stringify(body)}`);
  });
}

async function playTree(round: Round, seed: number, planted: Planted[]): Promise<Tree> {
  const { world } = round;
  const random = createRandom(seed);
  const stage: Stage = { ...round, ticketId: `F-${seed}`, random };
  const inConversation = random.chance(0.2);
  const workspace = world.path('tickets', stage.ticketId);
  // Makes the folder of the conversation; else, some commit is there already.
  if (inConversation) await OPERATIONS.chat?.run(stage);
  const folder = inConversation
    ? join(world.path('data', 'conversations', stage.ticketId), 'scripted', 'chats')
    : workspace;
  const tree = makeTree(random, inConversation ? 'conversation' : 'workspace', world.outside);
  const racing = await plant(folder, tree.steps);
  planted.push(racing);
  for (const name of choose(random, tree)) await OPERATIONS[name]?.run(stage);
  // Some race on under the backup.
  if (random.chance(0.7)) await racing.stop();
  return tree;
}

function choose(random: Random, { isSlow }: Tree): string[] {
  const all = Object.entries(OPERATIONS);
  // What nobody can cancel may take half a minute with these.
  const fitting = isSlow && random.chance(0.8) ? all.filter(([, { cancels }]) => cancels) : all;
  const weighted = fitting.map(([name, { weight }]) => [weight, name] as const);
  return Array.from({ length: OPERATIONS_OF_A_TREE }, () => random.weighted(weighted));
}

/** A client asks for a backup and leaves. */
async function leaveBackup(round: Round): Promise<void> {
  const { server, violations } = round;
  const left = new AbortController();
  const asking = fetch(new URL('/v1/backup', server.url), { method: 'POST', signal: left.signal }).catch(() => {});
  await pause(300);
  left.abort();
  await asking;
  const staged = await leftInStaging(round);
  if (staged.length > 0) violations.push(`a backup goes on ${CANCEL_MS} ms after its reader left: ${staged}`);
  await server.app.backups.whenIdle();
}

/** @returns its file */
async function takeBackup(round: Round, seeds: readonly number[]): Promise<string | undefined> {
  const { world, server, violations, count } = round;
  const response = await fetch(new URL('/v1/backup', server.url), { method: 'POST' });
  if (response.status !== 200 || response.body === null) {
    violations.push(`no backup was taken: ${await response.text()}`);
    return undefined;
  }
  const file = world.path('backup.tar.gz');
  await pipeline(Readable.fromWeb(response.body), createWriteStream(file));
  const manifest = await readManifest(file);
  if (!manifest.tickets.includes(WELL)) violations.push('the backup holds no ticket that is well');
  if (manifest.left_out.some(({ ticket_id }) => ticket_id === WELL))
    violations.push('of a ticket that is well, something is left out');
  for (const { ticket_id, what } of manifest.left_out) {
    count('left out of backup', what.replaceAll(/\d+/g, 'N').slice(0, 60));
    if (/unexpected error/.test(what)) violations.push(`${ticket_id}: left out of the backup: ${what}`);
    if (what.includes(world.dir)) violations.push(`${ticket_id}: the backup names a folder of the server: ${what}`);
  }
  count('backup', 'ok');
  await server.app.backups.whenIdle();
  await checkEmptyStaging(round);
  if (seeds.length === 0) return undefined;
  return file;
}

/** The backup in folders of its own, where each ticket is looked at, brought back and deleted. */
async function restore({ world, violations, count }: Round, file: string, seeds: readonly number[]): Promise<void> {
  const folder = world.path('restored');
  await mkdir(folder);
  await restoreBackup(file, { DATA_DIR: join(folder, 'data'), TICKETS_ROOT: join(folder, 'tickets') });
  await rm(file);
  const server = await world.start(folder);
  try {
    const there = await readdir(join(folder, 'data', 'gitdirs'));
    for (const name of there.filter((name) => name !== `${WELL}.git`)) {
      if (objectsHold(join(folder, 'data', 'gitdirs', name), world.canary))
        violations.push(`${name}: the backup holds what is outside`);
    }
    for (const seed of seeds) {
      const stage: Stage = { world, server, violations, ticketId: `F-${seed}`, random: createRandom(seed), count };
      if (!there.includes(`${stage.ticketId}.git`)) continue;
      await ask(stage, 'diff after restore', 'GET', '/diff');
      await ask(stage, 'sync after restore', 'POST', '/sync');
    }
  } finally {
    await server.app.close();
  }
}

async function removeTickets(round: Round, seeds: readonly number[]): Promise<void> {
  const { world, server, violations } = round;
  await eachOf(seeds, async (seed) => {
    const stage: Stage = { ...round, ticketId: `F-${seed}`, random: createRandom(seed) };
    const answer = await ask(stage, 'delete', 'DELETE', '?force=true');
    if (answer && answer.status !== 204 && answer.status !== 404) complain(stage, `was not deleted: ${answer.text}`);
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
    const left = names.filter((name) => !/^(?:\.owner-id|\.staging|\.trash|\.quarantine|WELL(?:\.git)?)$/.test(name));
    if (left.length > 0) violations.push(`left in ${folder}: ${left}`);
  }
}

/** What an operation lent is gone a moment after its end. */
async function checkEmptyStaging(round: Round): Promise<void> {
  const { violations } = round;
  const left = await leftInStaging(round);
  if (left.length > 0) violations.push(`left in staging: ${left}`);
}

/** What is in the staging folders, once it is nothing, or when the time for a cancel is over. */
async function leftInStaging({ world }: Round): Promise<string[]> {
  const until = Date.now() + CANCEL_MS;
  for (;;) {
    const folders = ['data/staging', 'tickets/.staging'].map((name) => readdir(world.path(name)));
    const left = (await Promise.all(folders)).flat();
    if (left.length === 0 || Date.now() > until) return left;
    await pause(50);
  }
}

async function checkWell(round: Round): Promise<void> {
  const { server, world, violations } = round;
  const { status, body } = await call(server, 'GET', `/v1/tickets/${WELL}/diff`);
  if (status !== 200 || !JSON.stringify(body).includes(world.canary))
    violations.push(`the ticket that is well is answered ${status}`);
}

function checkNothingLeft({ world, violations }: Round): void {
  const left = processesIn(`${world.dir}/`);
  violations.push(...left.map(({ command }) => `this runs still: ${command.slice(0, 200)}`));
}

/** Whether any object of a repository holds a text. */
function objectsHold(gitDir: string, text: string): boolean {
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

/** Does something with each, some at once. */
async function eachOf<T>(values: readonly T[], work: (value: T) => Promise<void>): Promise<void> {
  const left = [...values];
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (let value = left.shift(); value !== undefined; value = left.shift()) await work(value);
    }),
  );
}
