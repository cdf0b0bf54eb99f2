import t from 'tap';
import type { Run } from '../../schemas/run.ts';
import type { Session } from '../../schemas/session.ts';
import { call, frames } from '../helpers/client.ts';
import { ADMIN_KEY, asAdmin, makeKey } from '../helpers/keys.ts';
import { makeWorld, REPO, type Server, startServer } from '../helpers/server.ts';

const world = await makeWorld(t);
const settings = { API_KEY: ADMIN_KEY, AUTH_FAILURES_PER_MINUTE: '3' };

/** Signs in with a key, as a browser does. `asPage` holds the headers of later requests. */
async function signIn(server: Server, headers: Record<string, string>) {
  const answer = await call<Session>(server, 'POST', '/v1/session', undefined, headers);
  const [cookie = ''] = answer.headers.get('set-cookie')?.split(';') ?? [];
  return { answer, cookie, asPage: { cookie, 'sec-fetch-site': 'same-origin' } };
}

const NEW_TICKET = (ticketId: string) => ({ ticket_id: ticketId, repo_url: REPO });

t.test('sign-in exchanges a key for an HttpOnly cookie', async (t) => {
  const server = await startServer(t, world, settings);
  const port = new URL(server.url).port;
  t.match((await call(server, 'GET', '/v1/session')).body, { signed_in: false, scopes: [] });
  const { answer, asPage } = await signIn(server, asAdmin);
  t.match(answer, {
    status: 200,
    body: { signed_in: true, key_id: 'environment', name: 'API_KEY', scopes: ['admin'] },
  });
  const cookie = new RegExp(
    `^pullwright-${port}=[0-9a-f]{24}\\.[\\w-]{43}; Max-Age=6047\\d\\d; Path=/; HttpOnly; SameSite=Strict$`,
  );
  t.match(answer.headers.get('set-cookie'), cookie, 'on loopback');
  t.equal((await call(server, 'GET', '/v1/keys', undefined, asPage)).status, 200);
  t.match((await call(server, 'GET', '/v1/session', undefined, asPage)).body, { signed_in: true, expires_at: String });

  t.equal((await call(server, 'DELETE', '/v1/session', undefined, asPage)).status, 204);
  t.match(await call(server, 'GET', '/v1/keys', undefined, asPage), { status: 401, body: { code: 'unauthorized' } });
});

t.test('the cookie is Secure on any host but loopback', async (t) => {
  const server = await startServer(t, world, { ...settings, ALLOWED_HOSTS: 'pullwright.example' });
  // `fetch` does not allow another Host header.
  const { request } = await import('node:http');
  const { hostname, port } = new URL(server.url);
  const cookies = await new Promise((resolve, reject) => {
    const headers = { ...asAdmin, host: 'pullwright.example' };
    request({ hostname, port, path: '/v1/session', method: 'POST', headers }, (response) => {
      response.resume();
      resolve(response.headers['set-cookie']);
    })
      .on('error', reject)
      .end();
  });
  t.match(cookies, [/^__Host-pullwright=.*; Path=\/; HttpOnly; Secure; SameSite=Strict$/]);
});

t.test('the server accepts the cookie only from its own pages', async (t) => {
  const server = await startServer(t, world, settings);
  const { cookie, asPage } = await signIn(server, asAdmin);
  const create = (id: string, headers: Record<string, string>) =>
    call(server, 'POST', '/v1/tickets', NEW_TICKET(id), headers);
  const foreign: Record<string, string>[] = [
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site', origin: server.url },
    { 'sec-fetch-site': 'none' },
    { origin: 'https://evil.example' },
    { origin: 'http://127.0.0.1:1' },
    { origin: 'null' },
    {},
  ];
  for (const headers of foreign) {
    const refused = await create('S-1', { cookie, ...headers });
    t.match(refused, { status: 403, body: { code: 'cross_origin' } }, JSON.stringify(headers));
  }
  t.match(await call(server, 'GET', '/v1/tickets', undefined, { cookie, 'sec-fetch-site': 'cross-site' }), {
    status: 403,
  });
  t.equal((await create('S-1', { cookie, origin: server.url })).status, 201, 'an old browser sends only Origin');
  t.equal((await create('S-2', asPage)).status, 201);
  t.equal((await create('S-3', { cookie, ...asAdmin })).status, 201, 'a key in a header needs no cookie');
  const wrong = await create('S-4', { ...asPage, 'x-api-key': 'not-the-key-of-this-server' });
  t.equal(wrong.status, 401, 'a cookie does not replace a wrong key');
  const again = await call(server, 'POST', '/v1/session', undefined, asPage);
  t.equal(again.status, 401, 'a sign-in cannot renew itself');
});

t.test('a sign-in has the scopes of its key and ends with it, as do its streams', async (t) => {
  const server = await startServer(t, world, settings);
  world.gemini.on('stay', [{ hang: true }, { text: 'over' }]);
  const key = await makeKey(server, { scopes: ['chat'] });
  const { asPage } = await signIn(server, key.headers);
  const other = await signIn(server, asAdmin);
  t.match(await call(server, 'GET', '/v1/keys', undefined, asPage), { status: 403, body: { code: 'forbidden_scope' } });
  await call(server, 'POST', '/v1/tickets', NEW_TICKET('S-5'), asPage);
  const started = await call<Run>(server, 'POST', '/v1/tickets/S-5/runs', { action: 'chat', message: 'stay' }, asPage);
  const open = async () => {
    const path = `/v1/runs/${started.body.run_id}/events`;
    const stream = frames(await fetch(new URL(path, server.url), { headers: asPage }));
    await stream.next();
    return stream;
  };
  const stream = await open();
  await call(server, 'DELETE', `/v1/keys/${key.key_id}`, undefined, asAdmin);
  for await (const _ of stream);
  t.pass('the stream has ended');
  for (let times = 0; times < 6; times++) {
    t.equal((await call(server, 'GET', '/v1/tickets', undefined, asPage)).status, 401, 'the cookie is no longer valid');
  }
  t.equal((await call(server, 'GET', '/v1/session', undefined, asPage)).body.signed_in, false);
  t.equal((await signIn(server, asAdmin)).answer.status, 200, 'these failures lock out no other caller');
  t.equal(
    (await call(server, 'GET', '/v1/tickets', undefined, other.asPage)).status,
    200,
    'other sign-ins remain valid',
  );
  const audit = await call(server, 'GET', '/v1/audit', undefined, asAdmin);
  t.ok(
    audit.body.items.some(
      (entry: { operation: string; actor: string }) => entry.operation === 'signIn' && entry.actor === key.key_id,
    ),
  );
});

t.test('sign-out closes the streams of its sign-in', async (t) => {
  const server = await startServer(t, world, settings);
  const { asPage } = await signIn(server, asAdmin);
  const stream = frames(await fetch(new URL('/v1/events', server.url), { headers: asPage }));
  await stream.next();
  await call(server, 'DELETE', '/v1/session', undefined, asPage);
  for await (const _ of stream);
  t.pass('the stream has ended');
});

t.test('a sign-in survives a restart but not a replaced key', async (t) => {
  const first = await startServer(t, world, settings);
  const port = new URL(first.url).port;
  const { asPage } = await signIn(first, asAdmin);
  await first.stop();
  const second = await startServer(t, world, { ...settings, PORT: port });
  t.equal((await call(second, 'GET', '/v1/keys', undefined, asPage)).status, 200);
  await second.stop();
  const third = await startServer(t, world, { ...settings, PORT: port, API_KEY: 'another-key-of-the-environment' });
  t.equal((await call(third, 'GET', '/v1/keys', undefined, asPage)).status, 401, 'API_KEY was replaced');
});

t.test('a server without keys reports every caller as signed in', async (t) => {
  const folders = { DATA_DIR: `${world.dir}/open/data`, TICKETS_ROOT: `${world.dir}/open/tickets` };
  const open = await startServer(t, world, folders);
  t.match((await call(open, 'GET', '/v1/session')).body, { signed_in: true, key_id: 'loopback', scopes: ['admin'] });
  const answer = await call(open, 'POST', '/v1/session');
  t.equal(answer.status, 200);
  t.equal(answer.headers.get('set-cookie'), null);
});

t.test('the dashboard has a strict content security policy and immutable assets', async (t) => {
  const server = await startServer(t, world, settings);
  const page = await call<string>(server, 'GET', '/dashboard/tickets/S-1/plan', undefined, { accept: 'text/html' });
  const policy = page.headers.get('content-security-policy') ?? '';
  for (const part of ["default-src 'none'", "script-src 'self'", "require-trusted-types-for 'script'"]) {
    t.ok(policy.includes(part), part);
  }
  t.notMatch(policy, /unsafe/);
  t.equal(page.headers.get('cache-control'), 'no-cache');
  const [script = ''] = /\/dashboard\/assets\/[^"]+\.js/.exec(page.body) ?? [];
  const file = await fetch(new URL(script, server.url), { headers: { 'accept-encoding': 'br' } });
  t.equal(file.status, 200);
  t.match(file.headers.get('cache-control'), /max-age=31536000, immutable/);
  t.equal(file.headers.get('content-encoding'), 'br');
  await file.body?.cancel();
  t.equal((await call(server, 'GET', '/dashboard/assets/../../package.json')).status, 404);
  t.equal((await call(server, 'GET', '/dashboard/assets/%2e%2e/index.html')).headers.get('content-encoding'), null);

  const { gzipSync } = await import('node:zlib');
  let size = 0;
  for (const [path] of page.body.matchAll(/\/dashboard\/assets\/[^"]+/g)) {
    const answer = await fetch(new URL(path, server.url));
    size += gzipSync(Buffer.from(await answer.arrayBuffer())).length;
  }
  t.ok(size < 35_000, `the first load takes ${size} bytes, gzipped`);
});
