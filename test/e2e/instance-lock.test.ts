import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import SQLite from 'better-sqlite3';
import t from 'tap';
import type { Run } from '../../schemas/run.ts';
import { call, events } from '../helpers/client.ts';
import { noneLeft, processesIn } from '../helpers/processes.ts';
import { makeWorld, REPO, startServerProcess } from '../helpers/server.ts';

const LEASE = { LEASE_SECONDS: '5' };
const holderOf = (world: { dir: string }) => JSON.parse(readFileSync(join(world.dir, 'data/server.json'), 'utf8'));

/** Returns the processes that have the database of a folder open. */
function openIn(dir: string): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids
    .filter((pid) => filesOf(pid).some((file) => file.startsWith(join(dir, 'data/pullwright.db'))))
    .map(Number);
}

function filesOf(pid: string): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
  } catch {
    // The process has exited.
    return [];
  }
}

/** Returns the command lines of processes that servers of a folder started outside sandboxes. */
function childrenIn(dir: string): string[] {
  return readdirSync('/proc').flatMap((pid) => {
    try {
      if (!readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`=${join(dir, 'data')}\0`)) return [];
      return /src\/main\.ts/.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8'))
        ? []
        : [readFileSync(`/proc/${pid}/cmdline`, 'utf8')];
    } catch {
      return [];
    }
  });
}

t.test('a second server refuses to start and names the live holder of the lock', async (t) => {
  const world = await makeWorld(t);
  const server = await startServerProcess(t, world, LEASE);
  const { pid } = holderOf(world);
  await t.rejects(
    startServerProcess(t, world, LEASE),
    new RegExp(`another server uses DATA_DIR .*process ${pid} on .* Stop it`),
  );
  t.equal((await call(server, 'GET', '/livez')).status, 200);
});

t.test('the next server kills a frozen one and continues its run', async (t) => {
  const world = await makeWorld(t);
  const { gemini } = world;
  const held = (text: string) => gemini.waitFor((r) => r.prompt.includes(text) && r.state === 'held');
  const frozen = await startServerProcess(t, world, LEASE);
  await call(frozen, 'POST', '/v1/tickets', { ticket_id: 'Z-1', repo_url: REPO });
  gemini.on('are you awake', [{ hang: true }, { text: 'wide awake' }]);
  const started = await call<Run>(frozen, 'POST', '/v1/tickets/Z-1/runs', { action: 'chat', message: 'are you awake' });
  await held('are you awake');
  const { pid } = holderOf(world);
  process.kill(pid, 'SIGSTOP');
  const exit = new Promise((resolve) => frozen.process.once('exit', (_code, signal) => resolve(signal)));

  const server = await startServerProcess(t, world, LEASE);
  t.equal(await exit, 'SIGKILL', 'the frozen server was killed');
  const log = await events(server, started.body.run_id);
  t.match(log.at(-1), { type: 'run.succeeded', data: { result: { text: 'wide awake' } } });
  t.match((await call(server, 'GET', `/v1/runs/${started.body.run_id}`)).body, { attempt: 2 });
  t.not(holderOf(world).pid, pid);
  await server.stop();
  t.strictSame(processesIn(world.dir), []);
});

t.test('a server keeps its lock when it pauses for less than the lease', async (t) => {
  const world = await makeWorld(t);
  const server = await startServerProcess(t, world, { LEASE_SECONDS: '60' });
  const { pid } = holderOf(world);
  process.kill(pid, 'SIGSTOP');
  const second = startServerProcess(t, world, { LEASE_SECONDS: '60' });
  second.catch(() => {});
  // The second server has the database open while it waits for the lock.
  while (openIn(world.dir).every((other) => other === pid)) await new Promise((resolve) => setImmediate(resolve));
  process.kill(pid, 'SIGCONT');
  await t.rejects(second, /another server uses DATA_DIR/);
  t.equal((await call(server, 'GET', '/readyz')).status, 200);
});

t.test('the next server leaves a frozen one alone when its process is not visible', async (t) => {
  const world = await makeWorld(t);
  const frozen = await startServerProcess(t, world, LEASE);
  const holder = holderOf(world);
  process.kill(holder.pid, 'SIGSTOP');
  await writeFile(
    join(world.dir, 'data/server.json'),
    JSON.stringify({ ...holder, pid_namespace: 'pid:[1]', host: 'pod-7' }),
  );
  await t.rejects(
    startServerProcess(t, world, LEASE),
    /process \d+ on pod-7\. Its heartbeat is missing, and its process is not visible/,
  );
  process.kill(holder.pid, 'SIGCONT');
  t.equal((await call(frozen, 'GET', '/livez')).status, 200);
});

t.test('the next server leaves one alone that misses heartbeats during a store upgrade', async (t) => {
  const world = await makeWorld(t);
  await (await startServerProcess(t, world, LEASE)).stop();
  // Makes a migration due again, and endless.
  const store = new SQLite(join(world.dir, 'data/pullwright.db'));
  store.exec(`delete from kysely_migration where name >= '0009';
    drop table sessions;
    create table numbers as with recursive n(i) as (select 1 union all select i + 1 from n where i < 100000) select i from n;
    create trigger slow after insert on kysely_migration
      begin select max(a.i + b.i + c.i) from numbers a, numbers b, numbers c; end`);
  store.close();
  startServerProcess(t, world, LEASE).catch(() => {});
  while (openIn(world.dir).length === 0) await new Promise((resolve) => setImmediate(resolve));
  await t.rejects(startServerProcess(t, world, LEASE), /process \d+ on .*\. It is upgrading the store\. Wait until/);
  t.ok(openIn(world.dir).includes(holderOf(world).pid), 'the upgrade continues');
});

t.test('the next server ends orphaned processes of a killed one', async (t) => {
  const world = await makeWorld(t);
  const { github, gemini } = world;
  const settings = { SANDBOX: 'none' };
  const killed = await startServerProcess(t, world, settings);
  await call(killed, 'POST', '/v1/tickets', { ticket_id: 'O-1', repo_url: REPO });
  await call(killed, 'POST', '/v1/tickets', { ticket_id: 'O-2', repo_url: REPO });
  gemini.on('stay a while', [{ hang: true }, { text: 'stayed' }]);
  const chat = await call<Run>(killed, 'POST', '/v1/tickets/O-1/runs', { action: 'chat', message: 'stay a while' });
  await gemini.waitFor((request) => request.prompt.includes('stay a while') && request.state === 'held');
  const fetching = github.hang({ match: /git-upload-pack/ });
  const other = await call<Run>(killed, 'POST', '/v1/tickets/O-2/runs', { action: 'chat', message: 'hello' });
  await fetching;
  await killed.stop('SIGKILL');
  t.ok(
    childrenIn(world.dir).some((command) => command.startsWith('git')),
    'git survives its server',
  );

  const server = await startServerProcess(t, world, settings);
  await server.logged((record) => record.msg === 'killed orphaned process');
  for (const { body } of [chat, other]) {
    t.equal((await events(server, body.run_id)).at(-1)?.type, 'run.succeeded');
  }
  await server.stop();
  t.strictSame(childrenIn(world.dir), []);
  await noneLeft(world.dir);
});
