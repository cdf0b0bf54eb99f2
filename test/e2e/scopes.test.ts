import { fileURLToPath } from 'node:url';
import type { FastifyContextConfig } from 'fastify';
import { pino } from 'pino';
import t from 'tap';
import type { Scope } from '../../schemas/key.ts';
import type { Run } from '../../schemas/run.ts';
import { buildApp } from '../../src/app.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { createRedactor } from '../../src/redaction/redactor.ts';
import { call, events, run } from '../helpers/client.ts';
import { ADMIN_KEY, asAdmin, makeKey } from '../helpers/keys.ts';
import { makeWorld, REPO, startServer } from '../helpers/server.ts';

const OTHER = 'https://github.com/acme/other';
const FOREIGN = 'https://github.com/zeta/duration';
const SAMPLE = fileURLToPath(new URL('../../standins/sample', import.meta.url));

const world = await makeWorld(t);
await world.github.addRepository('acme/other', { from: SAMPLE });
await world.github.addRepository('zeta/duration', { from: SAMPLE });
const server = await startServer(t, world, {
  API_KEY: ADMIN_KEY,
  AUTH_FAILURES_PER_MINUTE: '10000',
  RATE_LIMIT_PER_MINUTE: '10000',
});

const ANYBODY = ['read', 'chat', 'plan', 'dev', 'admin'] as const;
const WORKERS = ['chat', 'plan', 'dev', 'admin'] as const;

/** The scopes that allow each operation; one is enough. `null` means that no key is needed. */
const RIGHTS: Record<string, readonly Scope[] | null> = {
  hello: null,
  livez: null,
  readyz: null,
  listAgents: ANYBODY,
  listTickets: ANYBODY,
  getTicket: ANYBODY,
  getDiff: ANYBODY,
  getPlan: ANYBODY,
  listRuns: ANYBODY,
  listTicketRuns: ANYBODY,
  getRun: ANYBODY,
  getRunEvents: ANYBODY,
  listPermissions: ANYBODY,
  getChanges: ANYBODY,
  getUsage: ANYBODY,
  syncTicket: WORKERS,
  createTicket: WORKERS,
  createTicketSimple: WORKERS,
  createRun: WORKERS,
  sendCommand: WORKERS,
  cancelRun: WORKERS,
  putPlan: ['plan', 'admin'],
  approvePlan: ['plan', 'admin'],
  answerPermission: ['dev', 'admin'],
  deleteTicket: ['dev', 'admin'],
  createKey: ['admin'],
  listKeys: ['admin'],
  revokeKey: ['admin'],
  listAudit: ['admin'],
  signIn: ANYBODY,
  signOut: ANYBODY,
  getSession: null,
  getMetrics: ['metrics', 'admin'],
  cleanUp: ['admin'],
  backUp: ['admin'],
};

/** Routes that the reference does not list. */
const HIDDEN = [
  '/openapi.json',
  '/dashboard',
  '/dashboard/',
  '/dashboard/tickets/NONE-1/plan',
  '/docs',
  '/docs/',
  '/docs/json',
  '/docs/static/index.html',
  '/docs/static/swagger-ui.css',
];

const VALUES: Record<string, string> = {
  ticket_id: 'NONE-1',
  run_id: '019a9f3c-7c1a-7b44-9d0e-0c4e2f9a1b2c',
  permission_id: '019a9f3c-7c1a-7b44-9d0e-0c4e2f9a1b2d',
  key_id: '0123456789ab',
};

/** Opens a stream that does not end, and returns its status and headers. */
async function begin(path: string, headers: Record<string, string>) {
  const response = await fetch(new URL(path, server.url), { headers });
  const { status } = response;
  if (!response.ok) return { status, headers: response.headers, body: JSON.parse(await response.text()) };
  await response.body?.cancel();
  return { status, headers: response.headers, body: '' };
}

t.test('every route requires its scope', async (t) => {
  const { body: api } = await call(server, 'GET', '/openapi.json');
  const operations = Object.entries<Record<string, { operationId: string; security: Record<string, string[]>[] }>>(
    api.paths,
  ).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { operationId, security }]) => ({
      id: operationId,
      method: method.toUpperCase(),
      path: path.replace(/\{(\w+)\}/g, (_, name: string) => VALUES[name] ?? ''),
      documented: [...new Set(security.flatMap((way) => Object.values(way).flat()))],
    })),
  );
  t.strictSame(operations.map(({ id }) => id).sort(), Object.keys(RIGHTS).sort(), 'RIGHTS lists every operation');

  const keys = new Map<Scope, Record<string, string>>();
  for (const scope of [...ANYBODY, 'metrics'] as const)
    keys.set(scope, (await makeKey(server, { scopes: [scope] })).headers);

  for (const { id, method, path, documented } of operations) {
    const allowed = RIGHTS[id] ?? null;
    const send = (headers: Record<string, string> = {}) =>
      id === 'getChanges'
        ? begin(path, headers)
        : call(server, method, path, method === 'GET' || method === 'DELETE' ? undefined : {}, headers);
    const bare = await send();
    if (allowed === null) {
      t.ok(bare.status < 400, `${id} needs no key`);
      t.strictSame(documented, [], `${id} is documented as public`);
      continue;
    }
    t.match(bare, { status: 401, body: { code: 'unauthorized' } }, `${id} without a key`);
    t.equal(bare.headers.get('www-authenticate'), 'Bearer realm="pullwright"');
    for (const [scope, headers] of keys) {
      const { status, body } = await send(headers);
      if (allowed.includes(scope)) t.ok(status !== 401 && status !== 403, `${id} with ${scope}: ${status}`);
      else t.match({ status, body }, { status: 403, body: { code: 'forbidden_scope' } }, `${id} with ${scope}`);
    }
    t.ok(
      documented.every((scope) => allowed.some((right) => right === scope)),
      `${id} documents scopes that allow it`,
    );
    t.ok(documented.length > 0);
    if (method === 'GET') {
      t.equal((await fetch(new URL(path, server.url), { method: 'HEAD' })).status, 401, `HEAD ${path}`);
    }
  }
  for (const path of HIDDEN) t.ok((await call(server, 'GET', path)).status < 400, path);
});

t.test('the server does not start unless each route declares either a scope or `public`', async (t) => {
  const dir = t.testdir({});
  const config = loadConfig({ DATA_DIR: `${dir}/data`, TICKETS_ROOT: `${dir}/tickets`, PORT: '0' }, `${dir}/.env`);
  const wrong: FastifyContextConfig[] = [{}, { public: true, scope: ['read'] }];
  for (const routeConfig of wrong) {
    const app = await buildApp({
      config,
      parentEnv: {},
      logger: pino({ level: 'silent' }),
      redactor: createRedactor(),
    });
    app.route({ method: 'GET', url: '/undeclared', config: routeConfig, handler: async () => 'open' });
    await t.rejects(async () => app.ready(), /GET \/undeclared must either name the scope it needs or be public/);
    await app.close();
  }
});

t.test('a run requires the scope of its action', async (t) => {
  world.gemini.on('stay', [{ hang: true }, { text: 'over' }]);
  const chat = await makeKey(server, { scopes: ['chat'] });
  const plan = await makeKey(server, { scopes: ['plan'] });
  const dev = await makeKey(server, { scopes: ['dev'] });
  const both = await makeKey(server, { scopes: ['chat', 'dev'] });
  const start = (action: string, headers: Record<string, string>) => [
    call(server, 'POST', '/v1/tickets/NONE-1/runs', { action, message: 'hello' }, headers),
    call(server, 'POST', '/command', { ticket_id: 'NONE-1', action, message: 'hello' }, headers),
  ];
  const cases = [
    ['chat', [chat, both], [plan, dev]],
    ['make_plan', [plan], [chat, dev, both]],
    ['dev', [dev, both], [chat, plan]],
  ] as const;
  for (const [action, may, mayNot] of cases) {
    for (const { headers, scopes } of may) {
      for (const { status, body } of await Promise.all(start(action, headers))) {
        t.match({ status, body }, { status: 404, body: { code: 'ticket_not_found' } }, `${action} with ${scopes}`);
      }
    }
    for (const { headers, scopes } of mayNot) {
      for (const { status, body } of await Promise.all(start(action, headers))) {
        t.match({ status, body }, { status: 403, body: { code: 'forbidden_scope' } }, `${action} with ${scopes}`);
      }
    }
  }

  t.equal((await call(server, 'POST', '/v1/tickets', { ticket_id: 'S-1', repo_url: REPO }, chat.headers)).status, 201);
  const message = { action: 'chat', message: 'stay' };
  const started = await call<Run>(server, 'POST', '/v1/tickets/S-1/runs', message, chat.headers);
  const cancel = (headers: Record<string, string>) =>
    call(server, 'POST', `/v1/runs/${started.body.run_id}/cancel`, undefined, headers);
  t.match(await cancel(dev.headers), { status: 403, body: { code: 'forbidden_scope' } });
  t.equal((await cancel(chat.headers)).status, 202);
});

t.test('a key limited to repositories sees only their tickets and runs', async (t) => {
  world.gemini.on('what is it', [{ text: 'A library.' }]);
  for (const [ticket_id, repo_url] of [
    ['A-1', REPO],
    ['B-1', OTHER],
    ['C-1', FOREIGN],
  ]) {
    t.equal((await call(server, 'POST', '/v1/tickets', { ticket_id, repo_url }, asAdmin)).status, 201);
  }
  const ask = { action: 'chat', message: 'what is it' };
  const own = (await run(server, 'A-1', ask, asAdmin)).run;
  const other = (await run(server, 'B-1', ask, asAdmin)).run;

  const one = await makeKey(server, { scopes: ['chat', 'plan', 'dev'], repositories: ['Acme/Duration.git'] });
  t.strictSame(one.repositories, ['github.com/acme/duration']);
  const owner = await makeKey(server, { scopes: ['dev'], repositories: ['github.com/acme/*'] });

  const tickets = async (headers: Record<string, string>) =>
    (await call(server, 'GET', '/v1/tickets', undefined, headers)).body.items
      .map((ticket: { ticket_id: string }) => ticket.ticket_id)
      .filter((id: string) => id !== 'S-1');
  t.strictSame(await tickets(asAdmin), ['C-1', 'B-1', 'A-1']);
  t.strictSame(await tickets(one.headers), ['A-1']);
  t.strictSame(await tickets(owner.headers), ['B-1', 'A-1']);
  const runs = async (headers: Record<string, string>) =>
    (await call(server, 'GET', '/v1/runs', undefined, headers)).body.items.map((item: Run) => item.run_id);
  t.ok((await runs(one.headers)).includes(own.run_id));
  t.notOk((await runs(one.headers)).includes(other.run_id));
  t.ok((await runs(owner.headers)).includes(other.run_id));

  t.equal((await events(server, own.run_id, { headers: one.headers })).at(-1)?.type, 'run.succeeded');
  t.equal((await call(server, 'GET', '/v1/tickets/a-1/diff', undefined, one.headers)).status, 200);

  const requests = [
    ['GET', '/v1/tickets/B-1'],
    ['GET', '/v1/tickets/b-1/diff'],
    ['GET', '/v1/tickets/B-1/plan'],
    ['PUT', '/v1/tickets/B-1/plan', { body: 'mine' }],
    ['POST', '/v1/tickets/B-1/plan/approve', { version: 1 }],
    ['GET', '/v1/tickets/B-1/runs'],
    ['POST', '/v1/tickets/B-1/runs', ask],
    ['POST', '/command', { ticket_id: 'B-1', ...ask }],
    ['DELETE', '/v1/tickets/B-1?force=true'],
    ['GET', `/v1/runs/${other.run_id}`],
    ['GET', `/v1/runs/${other.run_id}/events`],
    ['POST', `/v1/runs/${other.run_id}/cancel`],
  ] as const;
  for (const [method, path, body] of requests) {
    const answer = await call(server, method, path, body, one.headers);
    // A hidden resource looks like a missing one.
    const swap = (text: string) => text.replaceAll(/b-1/gi, 'NONE-1').replaceAll(other.run_id, VALUES.run_id ?? '');
    const absent = await call(
      server,
      method,
      swap(path),
      body === undefined ? undefined : JSON.parse(swap(JSON.stringify(body))),
      one.headers,
    );
    t.equal(answer.status, 404, `${method} ${path}`);
    t.strictSame(JSON.parse(swap(JSON.stringify(answer.body))), absent.body, `${method} ${path}`);
  }
  t.equal((await call(server, 'GET', '/v1/tickets/B-1', undefined, asAdmin)).status, 200, 'the ticket still exists');

  for (const path of ['/v1/tickets', '/create_ticket']) {
    const create = (ticket_id: string, repo_url: string) =>
      call(server, 'POST', path, { ticket_id, repo_url }, one.headers);
    for (const url of [OTHER, FOREIGN, 'git@github.com:acme/other.git', `${REPO}x`]) {
      t.match(await create('N-1', url), { status: 403, body: { code: 'forbidden_repository' } }, url);
    }
    const taken = await create('B-1', REPO);
    t.match(taken, { status: 409, body: { code: 'ticket_repo_mismatch' } });
    t.notMatch(JSON.stringify(taken.body), /acme/, 'the other repository is not named');
    t.ok((await create('N-2', 'git@github.com:ACME/duration.git')).status < 300);
  }
  t.equal((await call(server, 'GET', '/v1/tickets/N-1', undefined, asAdmin)).status, 404);
});
