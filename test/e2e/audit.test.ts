import { once } from 'node:events';
import { request } from 'node:http';
import { join } from 'node:path';
import SQLite from 'better-sqlite3';
import t from 'tap';
import type { AuditEntry } from '../../schemas/audit.ts';
import type { Run } from '../../schemas/run.ts';
import { openStore } from '../../src/store/open-store.ts';
import { call, events } from '../helpers/client.ts';
import { ADMIN_KEY, asAdmin, makeKey } from '../helpers/keys.ts';
import { makeWorld, REPO, type Server, startServer } from '../helpers/server.ts';

const world = await makeWorld(t);
const settings = { API_KEY: ADMIN_KEY, TRUST_PROXY: '127.0.0.1', AUTH_FAILURES_PER_MINUTE: '5' };

type Page = { items: AuditEntry[]; next_cursor: string | null };
const audit = async (server: Server, query = '') =>
  (await call<Page>(server, 'GET', `/v1/audit${query}`, undefined, asAdmin)).body;
/** Strips the fields that differ from run to run. */
const facts = (items: AuditEntry[]) => items.map(({ seq, time, ...entry }) => entry);

t.test('the audit log records caller, address, operation, target and outcome', async (t) => {
  const server = await startServer(t, world, settings);
  world.gemini.on('what is it', [{ text: 'A library.' }]);
  const key = await makeKey(server, { scopes: ['chat'] });
  const from = { ...key.headers, 'x-forwarded-for': '198.51.100.7' };
  const send = (method: string, path: string, body?: object, headers: Record<string, string> = from) =>
    call(server, method, path, body, headers);

  await send('POST', '/v1/tickets', { ticket_id: 'U-1', repo_url: REPO });
  const ask = { action: 'chat', message: 'what is it' };
  const run = await call<Run>(server, 'POST', '/v1/tickets/U-1/runs', ask, from);
  await events(server, run.body.run_id, { headers: from });
  const command = await send('POST', '/command', { ticket_id: 'U-1', ...ask });
  const commandRun = command.headers.get('x-run-id') ?? '';
  await send('GET', '/v1/tickets/U-1');
  await send('POST', '/v1/tickets/NONE-1/runs', ask);
  await send('POST', '/v1/tickets', { ticket_id: 'U-1' });
  await send('PUT', '/v1/tickets/U-1/plan', { body: 'mine' });
  await send('GET', '/v1/keys');
  await send('GET', '/v1/tickets/U-1', undefined, {});
  await send('DELETE', `/v1/tickets/${'x'.repeat(150)}`, undefined, { 'x-api-key': 'a wrong key, "or" <none>' });
  await send('GET', '/nope', undefined, {});
  await send('DELETE', '/v1/tickets/U-1?force=true', undefined, asAdmin);
  await send('DELETE', `/v1/keys/${key.key_id}`, undefined, asAdmin);
  await send('GET', '/v1/tickets');

  const here = { actor: key.key_id, address: '198.51.100.7' };
  const operator = { actor: 'environment', address: '127.0.0.1' };
  const anonymous = { actor: 'anonymous', address: '127.0.0.1', status: 401, code: 'unauthorized' };
  const post = { ...here, method: 'POST' };
  t.strictSame(facts((await audit(server)).items).reverse(), [
    { ...operator, method: 'POST', operation: 'createKey', status: 201, key_id: key.key_id },
    { ...post, operation: 'createTicket', status: 201, ticket_id: 'U-1' },
    { ...post, operation: 'createRun', status: 202, ticket_id: 'U-1', run_id: run.body.run_id },
    { ...post, operation: 'sendCommand', status: 200, ticket_id: 'U-1', run_id: commandRun },
    { ...post, operation: 'createRun', status: 404, ticket_id: 'NONE-1', code: 'ticket_not_found' },
    { ...post, operation: 'createTicket', status: 400, ticket_id: 'U-1', code: 'invalid_request' },
    { ...here, method: 'PUT', operation: 'putPlan', status: 403, ticket_id: 'U-1', code: 'forbidden_scope' },
    { ...here, method: 'GET', operation: 'listKeys', status: 403, code: 'forbidden_scope' },
    { ...anonymous, method: 'GET', operation: 'getTicket', ticket_id: 'U-1' },
    { ...anonymous, method: 'DELETE', operation: 'deleteTicket', ticket_id: 'x'.repeat(64) },
    { ...operator, method: 'DELETE', operation: 'deleteTicket', status: 204, ticket_id: 'U-1' },
    { ...operator, method: 'DELETE', operation: 'revokeKey', status: 204, key_id: key.key_id },
    { ...here, method: 'GET', operation: 'listTickets', status: 401, code: 'unauthorized' },
  ]);

  const paged: AuditEntry[] = [];
  for (
    let page = await audit(server, '?limit=5');
    ;
    page = await audit(server, `?limit=5&cursor=${page.next_cursor}`)
  ) {
    t.ok(page.items.length <= 5);
    paged.push(...page.items);
    if (page.next_cursor === null) break;
  }
  t.strictSame(paged, (await audit(server)).items, 'the pages together hold every entry');
  t.strictSame(
    paged.map(({ seq }) => seq),
    paged.map((_, index) => paged.length - index),
  );
  t.match(await call(server, 'GET', '/v1/audit?cursor=Zm9v', undefined, asAdmin), { status: 400 });
  await server.stop();
});

t.test('the audit log has no entry for a request without a key beyond the failure limit', async (t) => {
  const server = await startServer(t, world, settings);
  const before = (await audit(server)).items.length;
  const flood = Array.from({ length: 50 }, () =>
    call(server, 'GET', '/v1/tickets', undefined, { 'x-forwarded-for': '198.51.100.9' }),
  );
  await Promise.all(flood);
  t.equal((await audit(server)).items.length, before + 5);
  await server.stop();
});

t.test('the audit log has no entry for a request beyond the rate limit of a key or an address', async (t) => {
  const limits = { KEY_RATE_LIMIT_PER_MINUTE: '5', RATE_LIMIT_PER_MINUTE: '7' };
  const server = await startServer(t, world, { ...settings, ...limits });
  const { headers } = await makeKey(server, { scopes: ['admin'] });
  // `fetch` does not allow another Host header.
  const remove = async (headers: Record<string, string>): Promise<number | undefined> => {
    const sent = request(new URL('/v1/tickets/FLOOD-1', server.url), { method: 'DELETE', headers, agent: false }).end();
    const [answer] = await once(sent, 'response');
    answer.resume();
    return answer.statusCode;
  };
  const flood = async (headers: Record<string, string>) =>
    (await Promise.all(Array.from({ length: 30 }, () => remove(headers)))).sort();
  t.strictSame(await flood(headers), [...Array(5).fill(404), ...Array(25).fill(429)]);
  t.strictSame(await flood({ ...headers, host: 'evil.example' }), [...Array(7).fill(403), ...Array(23).fill(429)]);
  const { items } = await audit(server, '?limit=100');
  t.equal(items.filter(({ ticket_id }) => ticket_id === 'FLOOD-1').length, 12);
  await server.stop();
});

t.test('a graceful stop writes every pending audit entry', async (t) => {
  let server = await startServer(t, world, settings);
  const writes = Array.from({ length: 40 }, () =>
    call(server, 'DELETE', '/v1/tickets/GONE-1', undefined, asAdmin).then(({ status }) => status),
  );
  t.strictSame([...new Set(await Promise.all(writes))], [404]);
  await server.stop();
  server = await startServer(t, world, settings);
  const { items } = await audit(server, '?limit=100');
  t.equal(items.filter(({ ticket_id }) => ticket_id === 'GONE-1').length, 40);
  await server.stop();
});

t.test('the store writes pending audit entries before it closes', async (t) => {
  const dir = t.testdir({});
  const entry = { ticket_id: null, run_id: null, key_id: null, code: null };
  const facts = { time: '2026-01-01T00:00:00.000Z', actor: 'x', address: '::1', method: 'POST', operation: 'x' };
  let store = await openStore(dir);
  const writes = Array.from({ length: 100 }, () => store.audit.append({ ...entry, ...facts, status: 200 }));
  await store.close();
  await Promise.all(writes);
  store = await openStore(dir);
  t.teardown(() => store.close());
  t.equal((await store.audit.list({ limit: 200 })).items.length, 100);
});

t.test('the database refuses to change or delete an audit entry', async (t) => {
  const db = new SQLite(join(world.dir, 'data', 'pullwright.db'));
  t.teardown(() => db.close());
  for (const change of ["update audit set actor = 'x'", 'delete from audit', 'delete from audit where seq = 1']) {
    t.throws(() => db.exec(change), /append-only/, change);
  }
});
