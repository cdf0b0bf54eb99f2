import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import t from 'tap';
import { call } from '../helpers/client.ts';
import { makeWorld, REPO, type Server, startServer } from '../helpers/server.ts';

const KEY = 'a-key-of-at-least-sixteen-letters';
const world = await makeWorld(t);
const open = await startServer(t, world, {
  CORS_ORIGINS: 'https://tickets.example.org',
  RATE_LIMIT_PER_MINUTE: '1000',
});

/** Sends a request that `fetch` would correct or refuse. */
async function raw(server: Server, path: string, headers: Record<string, string> = {}, method = 'GET', body?: string) {
  const { hostname, port } = new URL(server.url);
  return new Promise<{ status: number | undefined; type: string | undefined; body: string }>((resolve, reject) => {
    const sent = request({ hostname, port, path, method, headers }, async (response) => {
      resolve({ status: response.statusCode, type: response.headers['content-type'], body: await text(response) });
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

t.test('the server answers every error with a problem document', async (t) => {
  const json = { 'content-type': 'application/json' };
  const cases = [
    ['unknown route', 404, 'not_found', await raw(open, '/nope')],
    ['malformed URL', 400, 'invalid_request', await raw(open, '/%zz')],
    ['malformed parameter', 400, 'invalid_request', await raw(open, '/v1/tickets/%2e%2e')],
    ['over-long parameter', 400, 'invalid_request', await raw(open, `/v1/tickets/${'x'.repeat(500)}`)],
    ['run id', 400, 'invalid_request', await raw(open, '/v1/runs/1')],
    ['query', 400, 'invalid_request', await raw(open, '/v1/tickets?limit=0')],
    ['unknown query field', 400, 'invalid_request', await raw(open, '/v1/tickets?offset=3')],
    ['no JSON', 400, 'invalid_request', await raw(open, '/v1/tickets', json, 'POST', '{"a":')],
    ['empty body', 400, 'invalid_request', await raw(open, '/v1/tickets', json, 'POST')],
    [
      'form',
      415,
      'unsupported_media_type',
      await raw(open, '/v1/tickets', { 'content-type': 'text/x-form' }, 'POST', 'a=1'),
    ],
    ['prototype', 400, 'invalid_request', await raw(open, '/v1/tickets', json, 'POST', '{"__proto__":{"x":1}}')],
    ['too large', 413, 'payload_too_large', await raw(open, '/v1/tickets', json, 'POST', `"${'x'.repeat(1_100_000)}"`)],
    ['other host', 403, 'host_not_allowed', await raw(open, '/', { host: 'evil.example' })],
  ] as const;
  for (const [name, status, code, answer] of cases) {
    t.equal(answer.status, status, name);
    t.match(answer.type, /^application\/problem\+json/, name);
    t.match(
      JSON.parse(answer.body),
      { type: `urn:pullwright:problem:${code}`, code, status, title: String, detail: String, remedy: String },
      name,
    );
  }
});

t.test('the server reports all errors of a body at once', async (t) => {
  const { body } = await call(open, 'POST', '/v1/tickets', { ticket_id: 'a/b', title: '', extra: 1 });
  t.strictSame(body.errors.map((error: { path: string }) => error.path).sort(), [
    '/extra',
    '/repo_url',
    '/ticket_id',
    '/title',
  ]);
});

t.test('the server does not convert strings in a body to numbers', async (t) => {
  t.match(await call(open, 'POST', '/v1/tickets/X-1/plan/approve', { version: '1' }), {
    status: 400,
    body: { errors: [{ path: '/version' }] },
  });
});

t.test('GET / redirects a browser to the dashboard and answers a program with JSON', async (t) => {
  t.match(await call(open, 'GET', '/', undefined, { accept: 'text/html,*/*' }), { status: 302 });
  t.match((await call(open, 'GET', '/')).body, { status: 'ok' });
});

t.test('CORS allows only the origins in CORS_ORIGINS', async (t) => {
  const ask = (origin: string) => call(open, 'GET', '/livez', undefined, { origin });
  t.equal(
    (await ask('https://tickets.example.org')).headers.get('access-control-allow-origin'),
    'https://tickets.example.org',
  );
  t.equal((await ask('https://evil.example')).headers.get('access-control-allow-origin'), null);
});

t.test('the server answers health checks and serves the API reference', async (t) => {
  t.match(await call(open, 'GET', '/livez'), { status: 200, body: { status: 'ok' } });
  t.match(await call(open, 'GET', '/readyz'), { status: 200, body: { status: 'ok' } });
  const { body } = await call(open, 'GET', '/openapi.json');
  t.match(body, { openapi: '3.1.0', info: { title: 'Pullwright' } });
  const routes = Object.entries<object>(body.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method} ${path}`),
  );
  for (const route of [
    'post /create_ticket',
    'post /command',
    'get /v1/runs/{run_id}/events',
    'put /v1/tickets/{ticket_id}/plan',
  ]) {
    t.ok(routes.includes(route), route);
  }
  const docs = await call(open, 'GET', '/docs/');
  t.equal(docs.status, 200);
  t.notMatch(docs.body, /(src|href)="(https?:)?\/\//, 'the page loads nothing from other hosts');
});

t.test('every route except health checks and the reference requires API_KEY', async (t) => {
  const world = await makeWorld(t);
  const server = await startServer(t, world, { API_KEY: KEY, HOST: '0.0.0.0' });
  t.match(await call(server, 'GET', '/v1/tickets'), { status: 401, body: { code: 'unauthorized' } });
  t.match(await call(server, 'POST', '/create_ticket', { ticket_id: 'T-1', repo_url: REPO }), { status: 401 });
  t.match(await call(server, 'GET', '/v1/tickets', undefined, { 'x-api-key': `${KEY}x` }), { status: 401 });
  t.equal((await call(server, 'GET', '/v1/tickets', undefined, { 'x-api-key': KEY })).status, 200);
  t.equal((await call(server, 'GET', '/v1/tickets', undefined, { authorization: `Bearer ${KEY}` })).status, 200);
  for (const path of ['/', '/livez', '/readyz', '/openapi.json', '/docs/']) {
    t.equal((await call(server, 'GET', path)).status, 200, path);
  }
  t.equal((await call(server, 'GET', '/nope')).status, 404);
});

t.test('the server answers 429 beyond RATE_LIMIT_PER_MINUTE', async (t) => {
  const world = await makeWorld(t);
  const server = await startServer(t, world, { RATE_LIMIT_PER_MINUTE: '3', API_KEY: KEY });
  const statuses: number[] = [];
  for (let i = 0; i < 5; i++) statuses.push((await call(server, 'GET', '/v1/tickets')).status);
  t.strictSame(statuses, [401, 401, 401, 429, 429], 'requests without a valid key are limited too');
  const limited = await call(server, 'GET', '/v1/tickets');
  t.match(limited.body, { code: 'rate_limited', remedy: String });
  t.ok(Number(limited.headers.get('retry-after')) > 0);
});
