import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import type { Diff } from '../../schemas/ticket.ts';
import { call, run } from '../helpers/client.ts';
import { ADMIN_KEY, asAdmin, makeKey } from '../helpers/keys.ts';
import { makeWorld, type Server, startServer, type World } from '../helpers/server.ts';

const SPELLINGS = [
  'https://github.com/Acme/Duration',
  'https://github.com/acme/DURATION.git',
  'git@GitHub.com:ACME/duration.git/',
  'https://GITHUB.com/acme/duration/',
];
const settings = { API_KEY: ADMIN_KEY };
const create = (server: Server, ticket_id: string, repo_url = '', headers: Record<string, string> = asAdmin) =>
  call(server, 'POST', '/v1/tickets', { ticket_id, repo_url }, headers);
const mirrors = ({ dir }: World) => readdirSync(join(dir, 'data', 'mirrors')).filter((name) => name.endsWith('.git'));

t.test('a repository has one mirror, whatever the spelling of its URL', async (t) => {
  const world = await makeWorld(t);
  const server = await startServer(t, world, { ...settings, FETCH_TTL_SECONDS: '60' });
  const created = await Promise.all(SPELLINGS.map((spelling, index) => create(server, `S-${index}`, spelling)));
  t.strictSame(
    created.map(({ status }) => status),
    [201, 201, 201, 201],
    'all at once',
  );
  t.equal(mirrors(world).length, 1);
  t.match(await create(server, 's-0', SPELLINGS[1]), { status: 200 }, 'a ticket accepts every spelling');
  t.match(await create(server, 'S-1', 'https://github.com/acme/other'), { status: 409 });

  const { headers } = await makeKey(server, { scopes: ['dev'], repositories: ['ACME/Duration.git'] });
  t.equal((await create(server, 'S-9', SPELLINGS[2], headers)).status, 201);
  t.equal((await call(server, 'GET', '/v1/tickets', undefined, headers)).body.items.length, 5);
  t.equal(mirrors(world).length, 1);
  await server.stop();
});

t.test('a mirror of an earlier version stays in use for its tickets', async (t) => {
  const world = await makeWorld(t);
  const [spelling = ''] = SPELLINGS;
  const first = await startServer(t, world, settings);
  t.equal((await create(first, 'OLD-1', spelling)).status, 201);
  await first.stop();
  // Earlier versions kept a mirror per spelling, and the alternates of their tickets name it.
  const key = createHash('sha256').update(spelling).digest('hex').slice(0, 16);
  const old = join(world.dir, 'data', 'mirrors', `${key}.git`);
  await rename(join(world.dir, 'data', 'mirrors', mirrors(world)[0] ?? ''), old);
  const alternates = join(world.dir, 'data', 'gitdirs', 'OLD-1.git', 'objects', 'info', 'alternates');
  await writeFile(alternates, `${join(old, 'objects')}\n`);

  const server = await startServer(t, world, settings);
  world.gemini.on('hello', [{ text: 'Good day.' }]);
  t.equal((await create(server, 'NEW-1', SPELLINGS[1])).status, 201);
  t.equal((await create(server, 'NEW-2', SPELLINGS[3])).status, 201);
  t.equal(mirrors(world).length, 2, 'all other tickets share one mirror');
  await world.github.commit('acme/duration', { files: { 'NEWS.md': 'news\n' } });
  for (const ticket of ['OLD-1', 'NEW-1']) {
    const sync = await call(server, 'POST', `/v1/tickets/${ticket}/sync`, undefined, asAdmin);
    t.match(sync, { status: 200, body: { updated: true } }, ticket);
    t.equal(await readFile(join(world.dir, 'tickets', ticket, 'NEWS.md'), 'utf8'), 'news\n');
    await writeFile(join(world.dir, 'tickets', ticket, 'MINE.md'), 'mine\n');
    const { body } = await call<Diff>(server, 'GET', `/v1/tickets/${ticket}/diff`, undefined, asAdmin);
    t.match(body, { files: [{ path: 'MINE.md', status: 'added' }] }, ticket);
    t.match((await run(server, ticket, { action: 'chat', message: 'hello' }, asAdmin)).run, { state: 'succeeded' });
  }
  t.match(await create(server, 'OLD-1', SPELLINGS[3]), { status: 200 }, 'the repository is the same');
  for (const ticket of ['NEW-1', 'NEW-2', 'OLD-1']) {
    const gone = await call(server, 'DELETE', `/v1/tickets/${ticket}?force=true`, undefined, asAdmin);
    t.equal(gone.status, 204, ticket);
  }
  await server.stop();
});
