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

/** Runs the command line with the settings of a world and more. */
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

function foldersIn(world: World, name: string): Record<string, string> {
  return { DATA_DIR: join(world.dir, name, 'data'), TICKETS_ROOT: join(world.dir, name, 'tickets') };
}

/** Leaves an unpushed commit and uncommitted changes in a workspace, as a person would. */
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

/** Creates and deletes files until `end`, as an agent does while its folder is copied. */
function churn(folder: string) {
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

t.test('`backup` succeeds while runs write events', async (t) => {
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

  const churning = churn(join(dir, 'data', 'conversations', 'B-2', 'churning'));
  const outcome = await pullwright(world, asClient(server), 'backup', file);
  await churning.end();
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
    '`restore` refuses the folders of a running server',
  );
  await server.stop('SIGKILL');
});

t.test('`restore` brings back tickets, plans, runs and workspaces in other folders', async (t) => {
  const folders = foldersIn(world, 'new');
  const outcome = await pullwright(world, folders, 'restore', file);
  t.match(outcome, { code: 0, stdout: /3 tickets/ }, outcome.stderr);
  rmSync(join(dir, 'data'), { recursive: true });
  rmSync(join(dir, 'tickets'), { recursive: true });
  gemini.on(/cut short/, [{ text: 'the end' }]);
  const server = await startServerProcess(t, world, { ...folders, ...settings });
  const get = async (path: string) => (await call(server, 'GET', path, undefined, asAdmin)).body;
  t.match(await get('/v1/tickets/B-1'), { state: 'ready', plan_version: 1, workspace: { place: 'parked' } });
  t.match(await get('/v1/tickets/B-1/plan'), { body: PLAN });
  t.strictSame(await get(`/v1/runs/${chat.run.run_id}`), chat.run);
  t.strictSame(await events(server, chat.run.run_id, { headers: asAdmin }), chat.events);
  const again = await events(server, story[0]?.run_id ?? '', { headers: asAdmin });
  t.strictSame(again.slice(0, story.length), story, 'the events from before the backup are unchanged');
  t.match(again.at(-1), { type: 'run.succeeded', data: { result: { text: 'the end' } } }, 'the run continued');
  t.strictSame(await get('/v1/tickets/B-1/diff'), diff, 'committed and uncommitted changes are restored');
  t.match(
    await call(server, 'DELETE', '/v1/tickets/B-1', undefined, asAdmin),
    { status: 409, body: { code: 'unpushed_work' } },
    'the server detects the unpushed work',
  );

  gemini.on('second', [{ text: 'welcome back' }]);
  const more = await run(server, 'B-1', { action: 'chat', message: 'second' }, asAdmin);
  t.equal(agentText(more.events), 'welcome back');
  const folder = join(folders.TICKETS_ROOT ?? '', 'B-1');
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'safe.directory=*', '-C', folder, ...args], { encoding: 'utf8' });
  t.equal(git('log', '--format=%H %s') + git('status', '--porcelain'), work, 'commits and status are unchanged');
  t.equal(readFileSync(join(folder, 'new folder', 'ünïcode\nname'), 'utf8'), 'new\n');
  await server.stop();
});

t.test('`backup` works without a server, and `restore` refuses a truncated file', async (t) => {
  const folders = foldersIn(world, 'new');
  const offline = join(dir, 'offline.tar.gz');
  const outcome = await pullwright(world, folders, 'backup', offline);
  t.match(outcome, { code: 0, stdout: /3 tickets/ }, outcome.stderr);
  const third = foldersIn(world, 'third');
  const mixed = { ...folders, TICKETS_ROOT: join(dir, 'unmounted') };
  t.match(await pullwright(world, mixed, 'backup', join(dir, 'x')), {
    code: 1,
    stderr: /^[^\n]*holds no workspace of/,
  });
  await t.rejects(
    startServerProcess(t, world, { ...mixed, ...settings }),
    /could not start: TICKETS_ROOT .*unmounted.*Mount it/,
  );
  t.notOk(existsSync(mixed.TICKETS_ROOT), 'no folder was created');
  t.match(await pullwright(world, third, 'restore', offline), { code: 0 });
  const server = await startServerProcess(t, world, { ...third, ...settings });
  t.strictSame((await call(server, 'GET', `/v1/runs/${chat.run.run_id}`, undefined, asAdmin)).body, chat.run);
  await server.stop();

  t.match(await pullwright(world, foldersIn(world, 'none'), 'backup', join(dir, 'x')), { code: 1, stderr: /no store/ });
  writeFileSync(join(dir, 'half'), readFileSync(file).subarray(0, statSync(file).size / 2));
  const fourth = foldersIn(world, 'fourth');
  t.match(await pullwright(world, fourth, 'restore', join(dir, 'half')), {
    code: 1,
    stderr: /is not a readable backup/,
  });
  t.notOk(existsSync(fourth.DATA_DIR ?? ''), 'no folder was created');
});

t.test('the server and `restore` refuse the folders of a killed restore', async (t) => {
  // The store is large, so that the kill comes in the middle of the restore.
  const source = foldersIn(world, 'third');
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
  t.match(twice, { status: 409, body: { code: 'backup_under_way' } }, 'only one backup runs at a time');
  await download.body?.cancel();
  while (readdirSync(join(source.DATA_DIR ?? '', 'staging')).length > 0)
    await new Promise((done) => setImmediate(done));
  t.equal((await call(server, 'GET', '/livez')).status, 200, 'the server survives a client that disconnects');
  await server.stop();

  const folders = foldersIn(world, 'killed');
  const restore = spawn('env', commandLine(world, folders, ['restore', large]), { cwd: world.dir, stdio: 'ignore' });
  const ended = once(restore, 'exit');
  const mark = join(folders.DATA_DIR ?? '', 'UNFINISHED_RESTORE');
  while (!existsSync(mark)) await new Promise((resolve) => setImmediate(resolve));
  restore.kill('SIGKILL');
  await ended;
  t.ok(existsSync(mark), 'the mark remains');
  await t.rejects(startServerProcess(t, world, { ...folders, ...settings }), /unfinished restore/);
  t.match(await pullwright(world, folders, 'restore', large), { code: 1, stderr: /not finished. Empty it/ });
  rmSync(join(dir, 'killed'), { recursive: true });
  t.match(
    await pullwright(world, folders, 'restore', large),
    { code: 0 },
    '`restore` succeeds once the folders are empty',
  );
});
