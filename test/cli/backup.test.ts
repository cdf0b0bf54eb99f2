import { existsSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import t from 'tap';
import { list } from 'tar';
import { closeServer } from '../../standins/loopback.ts';
import { call } from '../helpers/client.ts';
import { pullwright } from '../helpers/command.ts';
import { ADMIN_KEY, asAdmin } from '../helpers/keys.ts';
import { listen } from '../helpers/listen.ts';
import { makeWorld, REPO, startServer, type World } from '../helpers/server.ts';

const world = await makeWorld(t);
// The server of the Docker image has its compile cache in its DATA_DIR.
const cache = join(world.env.DATA_DIR ?? '', 'compile-cache');
const server = await startServer(t, world, { API_KEY: ADMIN_KEY, NODE_COMPILE_CACHE: cache });
await call(server, 'POST', '/v1/tickets', { ticket_id: 'B-1', repo_url: REPO }, asAdmin);

/** Writes the settings of the server, with its actual port, to `.env`. */
function writeSettings({ dir, env }: World, port: string): void {
  const lines = Object.entries({ ...env, PORT: port, API_KEY: ADMIN_KEY }).map(([name, value]) => `${name}=${value}\n`);
  writeFileSync(join(dir, '.env'), lines.join(''));
}

async function backup(name: string, env: Record<string, string> = {}) {
  const file = join(world.dir, name);
  const ended = await pullwright(t, world, ['backup', file, '--json'], { env });
  return { ...ended, written: existsSync(file) || existsSync(`${file}.part`) };
}

t.test('`backup` saves the server of the settings', async (t) => {
  writeSettings(world, new URL(server.url).port);
  const saved = await backup('server.tar.gz');
  t.match(saved, { code: 0, written: true }, saved.stderr);
  t.match(JSON.parse(saved.stdout), { tickets: 1 });
  t.match(await backup('wrong-key', { PULLWRIGHT_API_KEY: 'wrong' }), { code: 4, written: false });
  await server.stop();
});

t.test('`backup` reads the folders only when no server with these settings listens', async (t) => {
  const elsewhere = await backup('elsewhere', { PULLWRIGHT_URL: 'http://127.0.0.1:1' });
  t.match(elsewhere, { code: 1, stderr: /No server answers at http:\/\/127\.0\.0\.1:1\./, written: false });

  const broken = createServer((request) => request.socket.destroy());
  writeSettings(world, new URL(await listen(t, broken)).port);
  const cut = await backup('cut');
  t.match(cut, { code: 1, stderr: /The connection to http:\S+ failed: /, written: false });
  await closeServer(broken);

  t.match(await backup('folders.tar.gz', { PULLWRIGHT_URL: '' }), { code: 0, stdout: /"tickets":1/, written: true });
});

t.test(
  '`restore` fills new volumes that hold only lost+found and a compile cache, as in the Docker image',
  async (t) => {
    const data = join(world.dir, 'restored', 'data');
    const env = {
      DATA_DIR: data,
      TICKETS_ROOT: join(world.dir, 'restored', 'tickets'),
      NODE_COMPILE_CACHE: join(data, 'compile-cache'),
    };
    for (const folder of [data, env.TICKETS_ROOT]) await mkdir(join(folder, 'lost+found'), { recursive: true });
    const restore = () => pullwright(t, world, ['restore', join(world.dir, 'server.tar.gz'), '--json'], { env });
    const restored = await restore();
    t.match(restored, { code: 0, stdout: /"tickets":1/ }, restored.stderr);
    t.ok(existsSync(env.NODE_COMPILE_CACHE), 'Node has put its compile cache into DATA_DIR');
    t.match(await restore(), { code: 1, stderr: /is not empty/ });

    const names: string[] = [];
    await list({ file: join(world.dir, 'server.tar.gz'), onReadEntry: ({ path }) => names.push(path) });
    t.ok(names.includes('pullwright.db'));
    t.same(
      names.filter((name) => name.includes('cache')),
      [],
      'the backup holds no cache',
    );
  },
);
