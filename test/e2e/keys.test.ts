import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import t from 'tap';
import type { KeyCreated } from '../../schemas/key.ts';
import type { Run } from '../../schemas/run.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { createKeys } from '../../src/keys/keys.ts';
import { openStore } from '../../src/store/open-store.ts';
import { call, frames } from '../helpers/client.ts';
import { ADMIN_KEY, asAdmin, makeKey } from '../helpers/keys.ts';
import { makeWorld, REPO, type Server, startServer } from '../helpers/server.ts';

const world = await makeWorld(t);
const DATA = join(world.dir, 'data');

const as = (key: string) => ({ 'x-api-key': key });
const statusOf = async (server: Server, headers: Record<string, string> = {}) =>
  (await call(server, 'GET', '/v1/tickets', undefined, headers)).status;

t.test('a loopback server needs no key until the first key is created', async (t) => {
  let server = await startServer(t, world);
  t.equal(await statusOf(server), 200);
  t.equal(await statusOf(server, as('whatever')), 200);

  const first = await call(server, 'POST', '/v1/keys', { name: 'reader', scopes: ['read'] });
  t.match(
    first,
    { status: 400, body: { code: 'invalid_request', errors: [{ path: '/scopes' }] } },
    'the first key must have the scope admin',
  );

  const { status, headers, body } = await call<KeyCreated>(server, 'POST', '/v1/keys', {
    name: 'mine',
    scopes: ['admin'],
  });
  t.equal(status, 201);
  t.match(body.key, new RegExp(`^pw_${body.key_id}_[A-Za-z0-9_-]{43}$`));
  t.match(body.key_id, /^[0-9a-f]{12}$/);
  t.equal(headers.get('cache-control'), 'no-store');

  t.equal(await statusOf(server), 401, 'a key is now required');
  t.equal(await statusOf(server, as(body.key)), 200);
  t.equal(await statusOf(server, { authorization: `Bearer ${body.key}` }), 200);
  t.equal(await statusOf(server, as(`${body.key}x`)), 401);
  t.equal(await statusOf(server, as(`${body.key.slice(0, -1)}${body.key.endsWith('A') ? 'B' : 'A'}`)), 401);
  t.equal(await statusOf(server, as(body.key.replace(body.key_id, 'f'.repeat(12)))), 401);

  const secret = body.key.slice(-43);
  const listed = await call(server, 'GET', '/v1/keys', undefined, as(body.key));
  t.match(listed.body, { items: [{ key_id: body.key_id, name: 'mine', scopes: ['admin'] }], next_cursor: null });
  t.match(listed.body.items[0].last_used_at, /^\d{4}-\d\d-\d\dT/);
  t.notMatch(JSON.stringify(listed.body), secret, 'the list holds no secret');
  for (const file of readdirSync(DATA).filter((name) => name.startsWith('pullwright.db'))) {
    t.notOk(readFileSync(join(DATA, file)).includes(secret), `the secret is not in ${file}`);
  }

  await server.stop();
  server = await startServer(t, world, { HOST: '0.0.0.0' });
  t.equal(await statusOf(server), 401);
  t.equal(await statusOf(server, as(body.key)), 200, 'a stored key is enough for a public address');
  t.equal((await call(server, 'DELETE', `/v1/keys/${body.key_id}`, undefined, as(body.key))).status, 204);
  t.equal(await statusOf(server), 401, 'a public address always requires a key');
  await server.stop();
});

t.test('keys rotate, expire and can be revoked', async (t) => {
  const server = await startServer(t, world, { API_KEY: ADMIN_KEY, AUTH_FAILURES_PER_MINUTE: '1000' });
  world.gemini.on('wait for it', [{ hang: true }, { text: 'now' }]);
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'R-1', repo_url: REPO }, asAdmin);
  const run = await call<Run>(
    server,
    'POST',
    '/v1/tickets/R-1/runs',
    { action: 'chat', message: 'wait for it' },
    asAdmin,
  );
  await world.gemini.waitFor(({ state }) => state === 'held');

  /** Opens the event stream of a run that hangs. */
  async function listen(headers: Record<string, string>) {
    const response = await fetch(new URL(`/v1/runs/${run.body.run_id}/events`, server.url), { headers });
    const stream = frames(response);
    const opened = await stream.next();
    const rest = async () => {
      const seen = [];
      for await (const frame of stream) seen.push(frame);
      return seen;
    };
    return { opened, rest };
  }

  await t.test('revoking a key closes its streams and no others', async (t) => {
    const old = await makeKey(server, { scopes: ['read'] });
    const successor = await makeKey(server, { scopes: ['read'] });
    const oldStream = await listen(old.headers);
    const newStream = await listen(successor.headers);
    t.equal(oldStream.opened.done, false);

    t.equal((await call(server, 'DELETE', `/v1/keys/${old.key_id}`, undefined, asAdmin)).status, 204);
    const seen = await oldStream.rest();
    t.notOk(
      seen.some((frame) => frame.event?.startsWith('run.succeeded')),
      'the stream closed before the run finished',
    );
    t.match(await call(server, 'GET', '/v1/tickets', undefined, old.headers), {
      status: 401,
      body: { code: 'unauthorized', detail: 'The API key was revoked.' },
    });
    t.equal(await statusOf(server, successor.headers), 200);
    t.equal(
      (await call(server, 'DELETE', `/v1/keys/${old.key_id}`, undefined, asAdmin)).status,
      204,
      'revoking again succeeds',
    );
    t.match(await call(server, 'DELETE', '/v1/keys/000000000000', undefined, asAdmin), {
      status: 404,
      body: { code: 'key_not_found' },
    });

    world.gemini.release();
    t.equal(
      (await newStream.rest()).at(-1)?.event,
      'run.succeeded',
      'the stream of the other key continues to the end',
    );
  });

  await t.test('an expired key closes its streams', async (t) => {
    world.gemini.on('once more', [{ hang: true }, { text: 'now' }]);
    const again = { action: 'chat', message: 'once more' };
    run.body = (await call<Run>(server, 'POST', '/v1/tickets/R-1/runs', again, asAdmin)).body;
    const expires = new Date(Date.now() + 1500).toISOString();
    const brief = await makeKey(server, { scopes: ['read'], expires_at: expires });
    t.equal(brief.expires_at, expires);
    const stream = await listen(brief.headers);
    const seen = await stream.rest();
    t.notOk(seen.some((frame) => frame.event === 'run.succeeded'));
    t.match(await call(server, 'GET', '/v1/tickets', undefined, brief.headers), {
      status: 401,
      body: { detail: 'The API key has expired.' },
    });
    t.equal(await statusOf(server, as('pw_000000000000_nothing')), 401);
    world.gemini.release();
  });

  await t.test('the server refuses an invalid key request', async (t) => {
    const refused = async (body: object) => (await call(server, 'POST', '/v1/keys', body, asAdmin)).body;
    const key = { name: 'x', scopes: ['read'] };
    t.match(await refused({ ...key, expires_at: '2020-01-01T00:00:00Z' }), { errors: [{ path: '/expires_at' }] });
    t.match(await refused({ ...key, expires_at: 'tomorrow' }), { errors: [{ path: '/expires_at' }] });
    t.match(await refused({ ...key, scopes: [] }), { errors: [{ path: '/scopes' }] });
    t.match(await refused({ ...key, scopes: ['root'] }), { code: 'invalid_request' });
    t.match(await refused({ name: 'x', scopes: ['admin'], repositories: ['acme/x'] }), {
      errors: [{ path: '/repositories' }],
    });
    t.match(await refused({ ...key, repositories: ['evil.example/a/b'] }), { detail: /evil\.example/ });
    for (const wrong of ['acme', 'https://github.com/a/b', 'acme/*/x/y', '*/x', 'a b/c']) {
      t.match(await refused({ ...key, repositories: [wrong] }), { errors: [{ path: '/repositories/0' }] }, wrong);
    }
  });
});

t.test('onInvalid calls its listener at once when the key is already revoked', async (t) => {
  const dir = t.testdir({});
  const config = loadConfig({ DATA_DIR: dir }, join(dir, '.env'));
  const store = await openStore(dir);
  t.teardown(() => store.close());
  const keys = await createKeys({ config, store, logger: pino({ level: 'silent' }) });
  const made = await keys.create({ name: 'brief', scopes: ['read'] });
  const checked = keys.authenticate(made.key);
  if (!('caller' in checked)) throw new Error(checked.fault);
  let ended = 0;
  keys.onInvalid(checked.caller, () => ended++);
  t.equal(ended, 0);
  await keys.revoke(made.key_id);
  t.equal(ended, 1);
  keys.onInvalid(checked.caller, () => ended++);
  t.equal(ended, 2);
});

t.test('`pullwright keys` creates, lists and revokes keys', async (t) => {
  const server = await startServer(t, world, { API_KEY: ADMIN_KEY });
  const pullwright = (args: string[], settings: Record<string, string> = {}) => {
    const launcher = fileURLToPath(new URL('../../bin/pullwright.mjs', import.meta.url));
    const env = { PATH: process.env.PATH, PULLWRIGHT_URL: server.url, PULLWRIGHT_API_KEY: ADMIN_KEY, ...settings };
    return new Promise<{ code: unknown; stdout: string; stderr: string }>((resolve) => {
      execFile(process.execPath, [launcher, ...args], { env, cwd: world.dir }, (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : error.code, stdout, stderr }),
      );
    });
  };

  const made = await pullwright([
    'keys',
    'create',
    '--name',
    'ci\nbot',
    '--scope',
    'plan,dev',
    '--repository',
    'Acme/*',
    '--expires',
    '30',
  ]);
  t.match(made, { code: 0, stdout: /^pw_[0-9a-f]{12}_[A-Za-z0-9_-]{43}\n$/, stderr: '' });
  const key = made.stdout.trim();
  const keyId = key.split('_')[1] ?? '';
  t.equal(await statusOf(server, as(key)), 200);

  const listed = await pullwright(['keys', 'list']);
  const line = listed.stdout.split('\n').find((text) => text.startsWith(keyId));
  t.match(line, new RegExp(`^${keyId}\tuntil \\S+\tplan,dev\tgithub.com/acme/\\*\t\\S+\tci bot$`));
  t.match(await pullwright(['keys', 'revoke', keyId]), { code: 0, stdout: '' });
  t.equal(await statusOf(server, as(key)), 401);
  t.match((await pullwright(['keys', 'list'])).stdout, `${keyId}\trevoked`);

  t.match(await pullwright(['keys', 'create']), { code: 2, stdout: '', stderr: /required option '--name/ });
  t.match(await pullwright(['keys', 'destroy']), { code: 2, stderr: /unknown command 'destroy'/ });
  t.match(await pullwright(['keys', 'revoke', 'x/y']), { code: 1, stderr: /key_id/ });
  t.match(await pullwright(['keys', 'list'], { PULLWRIGHT_API_KEY: 'not-the-right-one' }), {
    code: 4,
    stderr: /not valid.*PULLWRIGHT_API_KEY/,
  });
  t.match(await pullwright(['keys', 'list'], { PULLWRIGHT_URL: 'http://127.0.0.1:1' }), {
    code: 1,
    stderr: /No server answers/,
  });
});
