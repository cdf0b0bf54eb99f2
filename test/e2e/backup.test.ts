import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import SQLite from 'better-sqlite3';
import t from 'tap';
import type { RunEvent } from '../../schemas/event.ts';
import type { Run } from '../../schemas/run.ts';
import { agentText, call, events, run } from '../helpers/client.ts';
import { ADMIN_KEY, asAdmin } from '../helpers/keys.ts';
import { makeWorld, REPO, type ServerProcess, startServerProcess, type World } from '../helpers/server.ts';

const CLI = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const PLAN = '# Notes\n\n## Goal\n\nNotes.';

type Outcome = { code: number; stdout: string; stderr: string };

/** The command line, with the settings of a world and others. */
function pullwright(world: World, settings: Record<string, string>, ...args: string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile('env', commandLine(world, settings, args), { cwd: world.dir }, (error, stdout, stderr) => {
      resolve({ code: Number(error?.code ?? 0), stdout, stderr });
    });
  });
}

function commandLine(world: World, settings: Record<string, string>, args: string[]): string[] {
  const env = { PATH: process.env.PATH, ...world.env, PORT: '9', ...settings };
  return ['-i', ...Object.entries(env).map((pair) => pair.join('=')), process.execPath, CLI, ...args];
}

function asClient(server: ServerProcess): Record<string, string> {
  return { PULLWRIGHT_URL: server.url, PULLWRIGHT_API_KEY: ADMIN_KEY };
}

function elsewhere(world: World, name: string): Record<string, string> {
  return { DATA_DIR: join(world.dir, name, 'data'), TICKETS_ROOT: join(world.dir, name, 'tickets') };
}

/** A commit that exists nowhere else, and changes that are not committed, as a person leaves them. */
function leaveWork(folder: string): string {
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'safe.directory=*', '-C', folder, ...args], { encoding: 'utf8' });
  writeFileSync(join(folder, 'committed.txt'), 'committed\n');
  git('add', 'committed.txt');
  git('-c', 'user.name=A', '-c', 'user.email=a@example.org', 'commit', '-qm', 'Mine');
  appendFileSync(join(folder, 'README.md'), 'changed\n');
  rmSync(join(folder, 'package.json'));
  mkdirSync(join(folder, 'new folder'));
  writeFileSync(join(folder, 'new folder', 'ünïcode\nname'), 'new\n');
  return git('log', '--format=%H %s') + git('status', '--porcelain');
}

/** Makes files and removes them again, as an agent does while its folder is copied. */
function beRestless(folder: string) {
  let ended = false;
  const paths = Array.from({ length: 200 }, (_, index) => join(folder, `${index}`));
  const work = async () => {
    await mkdir(folder);
    while (!ended) {
      await Promise.all(paths.map((path) => writeFile(path, 'for a moment')));
      await Promise.all(paths.map((path) => rm(path)));
    }
    await rm(folder, { recursive: true });
  };
  const done = work();
  return {
    async end(): Promise<void> {
      ended = true;
      await done;
    },
  };
}

const world = await makeWorld(t);
const { gemini, dir } = world;
const file = join(dir, 'backup.tar.gz');
const settings = { API_KEY: ADMIN_KEY };
let work = '';
let story: RunEvent[] = [];
let diff: unknown;
let chat: { run: Run; events: RunEvent[] };

t.test('a backup while runs write events', async (t) => {
  const server = await startServerProcess(t, world, settings);
  for (const ticket_id of ['B-1', 'B-2', 'B-3']) {
    await call(server, 'POST', '/v1/tickets', { ticket_id, repo_url: REPO }, asAdmin);
  }
  gemini.on(/Action: make_plan/, [{ text: PLAN }]);
  gemini.on('first', [{ text: 'answer' }]);
  await run(server, 'B-1', { action: 'make_plan' }, asAdmin);
  chat = await run(server, 'B-1', { action: 'chat', message: 'first' }, asAdmin);
  work = leaveWork(join(dir, 'tickets', 'B-1'));
  diff = (await call(server, 'GET', '/v1/tickets/B-1/diff', undefined, asAdmin)).body;
  gemini.on('a story', [
    ...Array.from({ length: 20 }, (_, index) => ({
      calls: [{ name: 'read_file', args: { file_path: `chapter-${index}.md` } }],
    })),
    { hang: true },
  ]);
  const started = await call<Run>(
    server,
    'POST',
    '/v1/tickets/B-2/runs',
    { action: 'chat', message: 'a story' },
    asAdmin,
  );
  story = await events(server, started.body.run_id, {
    until: (event) => event.type === 'tool.updated',
    headers: asAdmin,
  });

  const restless = beRestless(join(dir, 'data', 'conversations', 'B-2', 'restless'));
  const outcome = await pullwright(world, asClient(server), 'backup', file);
  await restless.end();
  t.match(outcome, { code: 0, stdout: /3 tickets/ }, outcome.stderr);
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.match(await pullwright(world, asClient(server), 'backup', file), { code: 1, stderr: /exists/ });
  t.match(await pullwright(world, { ...asClient(server), PULLWRIGHT_API_KEY: 'wrong' }, 'backup', `${file}2`), {
    code: 4,
    stderr: /key/,
  });
  t.notOk(existsSync(`${file}2`));
  t.match(
    await pullwright(world, settings, 'restore', file),
    { code: 1, stderr: /is not empty/ },
    'the folders of a server that runs are not empty',
  );
  await server.stop('SIGKILL');
});

t.test('restored elsewhere, everything is there', async (t) => {
  const place = elsewhere(world, 'new');
  const outcome = await pullwright(world, place, 'restore', file);
  t.match(outcome, { code: 0, stdout: /3 tickets/ }, outcome.stderr);
  rmSync(join(dir, 'data'), { recursive: true });
  rmSync(join(dir, 'tickets'), { recursive: true });
  gemini.on(/cut short/, [{ text: 'the end' }]);
  const server = await startServerProcess(t, world, { ...place, ...settings });
  const get = async (path: string) => (await call(server, 'GET', path, undefined, asAdmin)).body;
  t.match(await get('/v1/tickets/B-1'), { state: 'ready', plan_version: 1, workspace: { place: 'parked' } });
  t.match(await get('/v1/tickets/B-1/plan'), { body: PLAN });
  t.strictSame(await get(`/v1/runs/${chat.run.run_id}`), chat.run);
  t.strictSame(await events(server, chat.run.run_id, { headers: asAdmin }), chat.events);
  const again = await events(server, story[0]?.run_id ?? '', { headers: asAdmin });
  t.strictSame(again.slice(0, story.length), story, 'what was acknowledged before the backup');
  t.match(again.at(-1), { type: 'run.succeeded', data: { result: { text: 'the end' } } }, 'it went on');
  t.strictSame(await get('/v1/tickets/B-1/diff'), diff, 'committed and uncommitted work');
  t.match(
    await call(server, 'DELETE', '/v1/tickets/B-1', undefined, asAdmin),
    { status: 409, body: { code: 'unpushed_work' } },
    'it is known to exist nowhere else',
  );

  gemini.on('second', [{ text: 'welcome back' }]);
  const more = await run(server, 'B-1', { action: 'chat', message: 'second' }, asAdmin);
  t.equal(agentText(more.events), 'welcome back');
  const folder = join(place.TICKETS_ROOT ?? '', 'B-1');
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'safe.directory=*', '-C', folder, ...args], { encoding: 'utf8' });
  t.equal(git('log', '--format=%H %s') + git('status', '--porcelain'), work, 'the workspace is what it was');
  t.equal(readFileSync(join(folder, 'new folder', 'ünïcode\nname'), 'utf8'), 'new\n');
  await server.stop();
});

t.test('a backup without a server, and what cannot be restored', async (t) => {
  const place = elsewhere(world, 'new');
  const offline = join(dir, 'offline.tar.gz');
  const outcome = await pullwright(world, place, 'backup', offline);
  t.match(outcome, { code: 0, stdout: /3 tickets/ }, outcome.stderr);
  const third = elsewhere(world, 'third');
  const mixed = { ...place, TICKETS_ROOT: join(dir, 'unmounted') };
  t.match(await pullwright(world, mixed, 'backup', join(dir, 'x')), {
    code: 1,
    stderr: /^[^\n]*holds no workspace of/,
  });
  await t.rejects(
    startServerProcess(t, world, { ...mixed, ...settings }),
    /could not start: TICKETS_ROOT .*unmounted.*Mount it/,
  );
  t.notOk(existsSync(mixed.TICKETS_ROOT), 'nothing was touched');
  t.match(await pullwright(world, third, 'restore', offline), { code: 0 });
  const server = await startServerProcess(t, world, { ...third, ...settings });
  t.strictSame((await call(server, 'GET', `/v1/runs/${chat.run.run_id}`, undefined, asAdmin)).body, chat.run);
  await server.stop();

  t.match(await pullwright(world, elsewhere(world, 'none'), 'backup', join(dir, 'x')), { code: 1, stderr: /no store/ });
  writeFileSync(join(dir, 'half'), readFileSync(file).subarray(0, statSync(file).size / 2));
  const fourth = elsewhere(world, 'fourth');
  t.match(await pullwright(world, fourth, 'restore', join(dir, 'half')), { code: 1, stderr: /cannot be read/ });
  t.notOk(existsSync(fourth.DATA_DIR ?? ''), 'nothing was touched');
});

t.test('a restore that is killed leaves folders that are refused', async (t) => {
  // Much in the store, so that the end comes in the middle.
  const source = elsewhere(world, 'third');
  const store = new SQLite(join(source.DATA_DIR ?? '', 'pullwright.db'));
  const insert = store.prepare(
    `insert into audit (time, actor, address, method, operation, status) values (?, ?, '', '', '', 200)`,
  );
  store.transaction(() => {
    for (let index = 0; index < 60_000; index += 1) insert.run(new Date().toISOString(), `${Math.random()}`.repeat(20));
  })();
  store.close();
  const large = join(dir, 'large.tar.gz');
  t.match(await pullwright(world, source, 'backup', large), { code: 0 });

  const server = await startServerProcess(t, world, { ...source, ...settings });
  const download = await fetch(new URL('/v1/backup', server.url), { method: 'POST', headers: asAdmin });
  const twice = await call(server, 'POST', '/v1/backup', undefined, asAdmin);
  t.match(twice, { status: 409, body: { code: 'backup_under_way' } }, 'one at a time');
  await download.body?.cancel();
  while (readdirSync(join(source.DATA_DIR ?? '', 'staging')).length > 0)
    await new Promise((done) => setImmediate(done));
  t.equal((await call(server, 'GET', '/livez')).status, 200, 'a client that leaves does no harm');
  await server.stop();

  const place = elsewhere(world, 'killed');
  const restore = spawn('env', commandLine(world, place, ['restore', large]), { cwd: world.dir, stdio: 'ignore' });
  const ended = once(restore, 'exit');
  const mark = join(place.DATA_DIR ?? '', 'UNFINISHED_RESTORE');
  while (!existsSync(mark)) await new Promise((resolve) => setImmediate(resolve));
  restore.kill('SIGKILL');
  await ended;
  t.ok(existsSync(mark), 'it says so');
  await t.rejects(startServerProcess(t, world, { ...place, ...settings }), /unfinished restore/);
  t.match(await pullwright(world, place, 'restore', large), { code: 1, stderr: /not finished. Empty it/ });
  rmSync(join(dir, 'killed'), { recursive: true });
  t.match(await pullwright(world, place, 'restore', large), { code: 0 }, 'emptied, it is restored');
});
