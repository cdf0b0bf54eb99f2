import { copyFile, open, readdir, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import SQLite from 'better-sqlite3';
import t, { type Test } from 'tap';
import type { Run } from '../../schemas/run.ts';
import { agentText, call, events, frames, run } from '../helpers/client.ts';
import { makeWorld, REPO, startServerProcess } from '../helpers/server.ts';
import { makeSmallDisks, noSmallDisks } from '../helpers/small-disks.ts';

const skip = await noSmallDisks();

/** Starts a server whose folders are on one disk of 64 MiB. */
async function onSmallDisk(t: Test, more: Record<string, string>) {
  const world = await makeWorld(t);
  const disks = await makeSmallDisks(t, world.dir, { small: '64m' });
  const folder = (name: string) => join(world.dir, 'small', name);
  const settings = { DATA_DIR: folder('data'), TICKETS_ROOT: folder('tickets'), ...more };
  return { world, disks, server: await startServerProcess(t, world, settings, [], disks.within) };
}

t.test('the server refuses work and loses no event while its disk is full', { skip }, async (t) => {
  const { world, disks, server } = await onSmallDisk(t, { MIN_FREE_DISK_MB: '8' });
  const { gemini, dir } = world;
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'D-1', repo_url: REPO });
  gemini.on('a story', [{ hang: true, text: 'once upon a time ' }]);
  const { body } = await call<Run>(server, 'POST', '/v1/tickets/D-1/runs', { action: 'chat', message: 'a story' });
  await gemini.waitFor((request) => request.prompt.includes('a story') && request.state === 'held');
  const early = await events(server, body.run_id, {
    until: (event) => event.type === 'step.started' && event.data.step === 'agent',
  });

  await fill(disks.path('small', 'ballast'));
  const refused = { status: 507, body: { code: 'disk_full', remedy: /DATA_DIR.*MIN_FREE_DISK_MB/ } };
  const ticket = await call(server, 'POST', '/v1/tickets', { ticket_id: 'D-2', repo_url: REPO });
  t.match(ticket, refused, 'no new ticket');
  t.ok(Number(ticket.headers.get('retry-after')) > 0);
  t.match(await call(server, 'POST', '/create_ticket', { ticket_id: 'D-2', repo_url: REPO }), refused);
  t.match(
    await call(server, 'POST', '/v1/tickets/D-1/runs', { action: 'chat', message: 'more' }),
    refused,
    'no new run',
  );
  t.match(await call(server, 'POST', '/command', { ticket_id: 'D-1', action: 'chat', message: 'more' }), refused);
  const key = { name: 'x'.repeat(60), scopes: ['admin'] };
  t.match(
    await call(server, 'POST', '/v1/keys', key),
    { status: 507, body: { code: 'disk_full' } },
    'the store refuses writes with the same code',
  );
  t.equal((await call(server, 'GET', '/v1/tickets/D-1')).status, 200, 'reads still work');
  t.match((await call(server, 'GET', `/v1/runs/${body.run_id}`)).body, { state: 'running' });

  gemini.release();
  await server.logged((record) => record.msg === 'failed to persist run outcome');
  t.equal((await call(server, 'GET', '/livez')).status, 200, 'the server is alive');

  await rm(disks.path('small', 'ballast'));
  const whole = await events(server, body.run_id);
  t.strictSame(whole.slice(0, early.length), early, 'no event is lost');
  t.strictSame(
    whole.map((event) => event.seq),
    whole.map((_, index) => index + 1),
  );
  t.match(whole.at(-1), { type: 'run.failed', data: { error: { code: 'disk_full', retryable: true } } });
  gemini.on('again', [{ text: 'here I am' }]);
  t.equal(
    agentText((await run(server, 'D-1', { action: 'chat', message: 'again' })).events),
    'here I am',
    'the next run succeeds',
  );

  await server.stop('SIGKILL');
  for (const file of ['pullwright.db', 'pullwright.db-wal']) {
    await copyFile(disks.path('small', 'data', file), join(dir, file));
  }
  const store = new SQLite(join(dir, 'pullwright.db'));
  t.equal(store.pragma('integrity_check', { simple: true }), 'ok');
  store.close();
});

t.test('the server undoes a failed creation once a full disk has room again', { skip }, async (t) => {
  const { world, disks, server } = await onSmallDisk(t, { MIN_FREE_DISK_MB: '8', GIT_TIMEOUT_SECONDS: '5' });
  const reached = world.github.hang({ match: /upload-pack/ });
  const creating = call(server, 'POST', '/v1/tickets', { ticket_id: 'F-1', repo_url: REPO });
  await reached;
  await fill(disks.path('small', 'ballast'));
  const { body } = await creating;
  t.equal(body.code, 'timed_out', 'the response names the cause, not the failed clean-up');
  await server.logged((record) => /failed to complete the creation/.test(record.msg ?? ''));

  const feed = frames(await fetch(new URL('/v1/events', server.url)));
  await feed.next();
  await rm(disks.path('small', 'ballast'));
  const next = await feed.next();
  t.match(next.value, { event: 'ticket.deleted' }, 'the creation is undone once the disk has room');
  await feed.return(undefined);
  t.equal((await call(server, 'POST', '/v1/tickets', { ticket_id: 'F-1', repo_url: REPO })).status, 201);
  await server.stop();
});

t.test('creation fails with disk_full when the disk is too small for the checkout', { skip }, async (t) => {
  const world = await makeWorld(t);
  const { dir, github } = world;
  const disks = await makeSmallDisks(t, dir, { small: '4m' });
  await github.commit('acme/duration', { files: { 'large.txt': 'large\n'.repeat(1e6) } });
  const settings = { TICKETS_ROOT: join(dir, 'small', 'tickets'), MIN_FREE_DISK_MB: '0' };
  const server = await startServerProcess(t, world, settings, [], disks.within);
  t.match(await call(server, 'POST', '/v1/tickets', { ticket_id: 'C-1', repo_url: REPO }), {
    status: 507,
    body: { code: 'disk_full' },
  });
  t.equal((await call(server, 'GET', '/v1/tickets/C-1')).status, 404);
  const mirrors = join(dir, 'data', 'mirrors');
  const names = await readdir(mirrors, { recursive: true });
  t.ok(names.some((name) => name.includes('refs/fetched/')));
  t.strictSame(
    names.filter((name) => name.includes('C-1')),
    [],
    'the mirror keeps no ref of the ticket',
  );
  await server.stop();
});

t.test('queued runs wait while the disk is nearly full', { skip }, async (t) => {
  const { world, disks, server } = await onSmallDisk(t, { MIN_FREE_DISK_MB: '16' });
  const { gemini } = world;
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'Q-1', repo_url: REPO });
  gemini.on('a story', [{ hang: true, text: 'once' }]);
  gemini.on('afterwards', [{ text: 'here I am' }]);
  const first = await call<Run>(server, 'POST', '/v1/tickets/Q-1/runs', { action: 'chat', message: 'a story' });
  await gemini.waitFor((request) => request.prompt.includes('a story') && request.state === 'held');
  const second = await call<Run>(server, 'POST', '/v1/tickets/Q-1/runs', { action: 'chat', message: 'afterwards' });

  const ballast = disks.path('small', 'ballast');
  await fill(ballast);
  await truncate(ballast, (await stat(ballast)).size - 8 * 1024 ** 2);
  gemini.release();
  t.match((await events(server, first.body.run_id)).at(-1), { type: 'run.succeeded' }, 'the first run finishes');
  await server.logged((record) => record.msg === 'queued runs paused: not enough disk space');
  t.match((await call(server, 'GET', `/v1/runs/${second.body.run_id}`)).body, { state: 'queued' });

  await rm(ballast);
  t.equal(
    agentText(await events(server, second.body.run_id)),
    'here I am',
    'the queued run starts once the disk has room',
  );
  await server.stop();
});

t.test('creation fails with storage_unavailable while the disk is read-only', { skip }, async (t) => {
  const world = await makeWorld(t);
  const disks = await makeSmallDisks(t, world.dir, { checkouts: '64m' });
  const settings = { TICKETS_ROOT: join(world.dir, 'checkouts', 'tickets') };
  const server = await startServerProcess(t, world, { ...settings, MIN_FREE_DISK_MB: '8' }, [], disks.within);
  await disks.remount('checkouts', 'ro');
  t.match(
    await call(server, 'POST', '/v1/tickets', { ticket_id: 'R-1', repo_url: REPO }),
    { status: 503, body: { code: 'storage_unavailable', remedy: /TICKETS_ROOT/ } },
    'the error names the setting',
  );
  t.equal((await call(server, 'GET', '/v1/tickets')).status, 200, 'reads still work');
  await disks.remount('checkouts', 'rw');
  t.equal((await call(server, 'POST', '/v1/tickets', { ticket_id: 'R-1', repo_url: REPO })).status, 201);
  await server.stop();
});

/** Writes until the file system is full. */
async function fill(path: string): Promise<void> {
  const file = await open(path, 'w');
  try {
    for (let bytes = 1024 ** 2; bytes >= 4096; ) {
      await file.write(Buffer.alloc(bytes)).then(undefined, () => {
        bytes /= 2;
      });
    }
  } finally {
    await file.close();
  }
}
