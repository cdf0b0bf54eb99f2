import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync, watch } from 'node:fs';
import { mkdir, open, readdir, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { withoutDefences } from '../attacks/client-arena.ts';
import { call } from '../helpers/client.ts';
import { openRaw } from '../helpers/raw-http.ts';
import { makeWorld, REPO, type ServerProcess, startServerProcess, type World } from '../helpers/server.ts';
import { wrapGit } from '../helpers/wrap-git.ts';

const BACKUP = 'POST /v1/backup HTTP/1.1\r\nhost: localhost\r\n\r\n';
/** More bytes than a connection and its buffers hold. */
const NOISE_BYTES = 24 * 1024 * 1024;

/** Shortens READER_TIMEOUT_MS. */
const SHORT_TIMEOUT = withoutDefences({
  edits: [{ file: 'src/housekeeping/backup.ts', from: 'READER_TIMEOUT_MS = 60_000', to: 'READER_TIMEOUT_MS = 300' }],
});

/** Starts a server with a ticket whose conversation does not compress. */
async function start(t: Test, world: World, settings: Record<string, string> = {}, nodeArgs: readonly string[] = []) {
  const server = await startServerProcess(t, world, settings, nodeArgs);
  t.equal((await call(server, 'POST', '/v1/tickets', { ticket_id: 'R-1', repo_url: REPO })).status, 201);
  const folder = join(world.dir, 'data', 'conversations', 'R-1');
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'noise'), randomBytes(NOISE_BYTES));
  return server;
}

const stagedFiles = (world: World) => readdirSync(join(world.dir, 'data', 'staging'));

/** Waits until the staging folder is empty and the server has closed its files. */
async function stagingCleared(world: World, { process: { pid } }: ServerProcess): Promise<void> {
  const changes = watch(join(world.dir, 'data', 'staging'));
  while (stagedFiles(world).length > 0) await once(changes, 'change');
  changes.close();
  const isOpen = (name: string) =>
    readlink(`/proc/${pid}/fd/${name}`).then(
      (path) => path.includes('/staging/'),
      () => false,
    );
  // The kernel reports no closed file of another process, so this polls.
  while ((await Promise.all((await readdir(`/proc/${pid}/fd`)).map(isOpen))).includes(true));
}

/** Downloads a whole backup. */
async function download(server: ServerProcess): Promise<{ status: number; bytes: number }> {
  const answer = await fetch(new URL('/v1/backup', server.url), { method: 'POST' });
  return { status: answer.status, bytes: (await answer.arrayBuffer()).byteLength };
}

t.test('the server aborts a backup when its reader stops reading', async (t) => {
  const world = await makeWorld(t);
  const server = await start(t, world, SHORT_TIMEOUT.env, SHORT_TIMEOUT.nodeArgs);
  const reader = await openRaw(server, BACKUP);
  t.teardown(() => reader.destroy());
  // The reader stops after the head.
  await once(reader, 'readable');
  t.match(await call(server, 'POST', '/v1/backup'), { status: 409, body: { code: 'backup_under_way' } });
  await stagingCleared(world, server);
  const next = await fetch(new URL('/v1/backup', server.url), { method: 'POST' });
  t.equal(next.status, 200);
  await next.body?.cancel();
  await stagingCleared(world, server);
  await server.stop();
});

t.test('the server aborts a backup when its client disconnects, early or late', async (t) => {
  const world = await makeWorld(t);
  const gate = join(world.dir, 'gate');
  const reached = join(world.dir, 'reached');
  execFileSync('mkfifo', [gate]);
  // The first git command that names the tree of a commit waits at the gate.
  const wait = `case " $* " in *"^{tree}"*) [ -e '${reached}' ] || { : > '${reached}'; read -r word < '${gate}'; } ;; esac`;
  const server = await start(t, world, { PATH: await wrapGit(join(world.dir, 'bin'), wait) });
  t.equal((await fetch(new URL('/v1/backup', server.url), { method: 'HEAD' })).status, 405);
  t.strictSame(stagedFiles(world), [], 'a HEAD stages no files');

  const early = await openRaw(server, BACKUP);
  while (!existsSync(reached)) await new Promise((resolve) => setImmediate(resolve));
  early.destroy();
  const file = await open(gate, 'r+');
  await file.write('pass\n');
  await stagingCleared(world, server);
  await file.close();

  const late = await openRaw(server, BACKUP);
  await once(late, 'readable');
  late.destroy();
  await stagingCleared(world, server);

  const { status, bytes } = await download(server);
  t.ok(status === 200 && bytes > NOISE_BYTES, 'the next backup is complete');
  await server.stop();
});

t.test('the server aborts a backup when it stops', async (t) => {
  const world = await makeWorld(t);
  const server = await start(t, world, { SHUTDOWN_SECONDS: '4' });
  const reader = await openRaw(server, BACKUP);
  t.teardown(() => reader.destroy());
  await once(reader, 'readable');
  t.equal(stagedFiles(world).length, 1);
  t.match(await server.stop(), { code: 0 });
  t.strictSame(stagedFiles(world), [], 'no staged file remains');
});
