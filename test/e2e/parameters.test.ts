import t from 'tap';
import { routesOf } from '../attacks/requests.ts';
import { call, run } from '../helpers/client.ts';
import { ADMIN_KEY, asAdmin, makeKey } from '../helpers/keys.ts';
import { makeWorld, REPO, startServer } from '../helpers/server.ts';

const world = await makeWorld(t);
const limits = { KEY_RATE_LIMIT_PER_MINUTE: '10000', RATE_LIMIT_PER_MINUTE: '10000' };
const server = await startServer(t, world, { API_KEY: ADMIN_KEY, ...limits });
const get = (path: string, headers = {}) => call(server, 'GET', path, undefined, { ...asAdmin, ...headers });

world.gemini.on(/Action: make_plan/, [{ text: '# Plan\n\n## Goal\n\nOne.' }]);
for (const ticket_id of ['I-1', 'I-2']) {
  await call(server, 'POST', '/v1/tickets', { ticket_id, repo_url: REPO }, asAdmin);
}
const planned = await run(server, 'I-1', { action: 'make_plan' }, asAdmin);
const last = planned.events.at(-1)?.seq ?? 0;
await run(server, 'I-2', { action: 'make_plan' }, asAdmin);
await makeKey(server, { scopes: ['read'] });
await makeKey(server, { scopes: ['read'] });

const KNOWN: Record<string, string> = { '{ticket_id}': 'I-1', '{run_id}': planned.run.run_id };
const { body: contract } = await get('/openapi.json');
const PARAMETERS = routesOf(contract).flatMap(({ method, path, query }) =>
  query.map((parameter) => ({
    method,
    path: path.replace(/\{\w+\}/g, (name) => KNOWN[name] ?? name),
    name: parameter.name,
    type: parameter.schema.type,
  })),
);

t.test('an integer in a query has one valid form', async (t) => {
  const integers = PARAMETERS.filter(({ type }) => type === 'integer');
  t.ok(integers.length >= 8);
  const junk = [
    '0x10',
    '1e1',
    '%2B5',
    '+5',
    '%205',
    '5%20',
    '5.0',
    '05',
    '',
    '-',
    '1_0',
    '٥',
    'NaN',
    'Infinity',
    'null',
  ];
  for (const { path, name } of integers) {
    for (const value of [...junk, `1&${name}=2`, `1&${name}=1`, '9'.repeat(16), '9'.repeat(400)]) {
      const answer = await get(`${path}?${name}=${value}`);
      t.match(answer, { status: 400, body: { errors: [{ path: `/${name}` }] } }, `${path}?${name}=${value}`);
    }
    t.equal((await get(`${path}?${name}=1`)).status, 200, `${path}?${name}=1`);
  }
});

t.test('a boolean in a query is true or false', async (t) => {
  const booleans = PARAMETERS.filter(({ type }) => type === 'boolean');
  t.ok(booleans.length >= 1);
  for (const { method, path, name } of booleans) {
    for (const value of ['1', '0', 'TRUE', 'True', 'yes', '', '%20true', `true&${name}=true`]) {
      const answer = await call(server, method, `${path}?${name}=${value}`, undefined, asAdmin);
      t.match(answer, { status: 400, body: { errors: [{ path: `/${name}` }] } }, `${path}?${name}=${value}`);
    }
  }
});

t.test('the server refuses repeated or empty query parameters and invalid days', async (t) => {
  for (const query of ['state=ready&state=ready', 'state=', 'cursor=', 'limit[]=1', 'LIMIT=1']) {
    t.match(await get(`/v1/tickets?${query}`), { status: 400 }, query);
  }
  for (const day of [
    '2026-02-30',
    '2026-1-1',
    '26-01-01',
    '2026-01-01T00:00:00Z',
    '1',
    '',
    '2026-01-01&from=2026-01-01',
  ]) {
    t.match(await get(`/v1/usage?from=${day}`), { status: 400, body: { errors: [{ path: '/from' }] } }, day);
  }
  t.match(await get('/v1/usage?to=0000-01-01'), { status: 400, body: { errors: [{ path: '/to' }] } });
  t.match(await get('/v1/usage?to=1970-01-05'), { status: 200, body: { from: '1970-01-01' } });
});

t.test('a list accepts only its own cursors, unchanged', async (t) => {
  const lists = ['tickets', 'runs', 'keys', 'audit'];
  const cursors = new Map<string, string>();
  for (const list of lists) cursors.set(list, (await get(`/v1/${list}?limit=1`)).body.next_cursor);
  const other = (character: string) => (character === 'A' ? 'B' : 'A');
  for (const list of [...lists, 'permissions']) {
    for (const [of, cursor] of cursors) {
      t.equal(
        (await get(`/v1/${list}?cursor=${cursor}`)).status,
        of === list ? 200 : 400,
        `${list} with a cursor of ${of}`,
      );
    }
    const own = cursors.get(list) ?? '';
    const tampered = [...own].map((character, at) => own.slice(0, at) + other(character) + own.slice(at + 1));
    const key = (...parts: unknown[]) => Buffer.from(JSON.stringify(parts)).toString('base64url');
    const junk = [
      `${own}=`,
      `${own}A`,
      ` ${own}`,
      own.slice(1),
      'e30',
      '!!!!',
      key('a'),
      key('a', 'b'),
      key(1),
      'x'.repeat(200),
    ];
    for (const cursor of [...tampered, ...junk]) {
      const answer = await get(`/v1/${list}?cursor=${encodeURIComponent(cursor)}`);
      t.match(answer, { status: 400, body: { errors: [{ path: '/cursor' }] } }, `${list}: ${cursor}`);
    }
  }
});

t.test('the server accepts Last-Event-ID only as the plain number of an event', async (t) => {
  const path = `/v1/runs/${planned.run.run_id}/events`;
  for (const id of ['0x1', '1e0', '+1', '01', '1.0', '-1', '1, 2', 'one', String(last + 1), '9'.repeat(30)]) {
    t.match(await get(path, { 'last-event-id': id }), { status: 400, body: { code: 'cursor_unknown' } }, id);
  }
  t.equal((await get(path, { 'last-event-id': String(last) })).status, 204);
  t.match(await get(`${path}?after=${last - 1}`), { status: 200, body: /run\.succeeded/ });
});

t.test('If-Match must be an entity tag and equal the current version', async (t) => {
  const put = (tag: string) =>
    call(server, 'PUT', '/v1/tickets/I-1/plan', { body: 'Edited.' }, { ...asAdmin, 'if-match': tag });
  for (const tag of ['1', "'1'", '"1', '1"', '"1" "2"', '"1",', '**', 'w/"1"']) {
    t.match(await put(tag), { status: 400, body: { errors: [{ path: '/if-match' }] } }, tag);
  }
  for (const tag of ['"01"', '"0"', '"0x1"', '"1.0"', '" 1"', 'W/"1"', '*', '"2"', '"2", "1"', '""', '"9999999999"']) {
    const answer = await put(tag);
    // An entity tag contains no space.
    t.match(answer, tag === '" 1"' ? { status: 400 } : { status: 412, body: { code: 'plan_version_mismatch' } }, tag);
  }
  t.match(await put('"1"'), { status: 200, body: { version: 2 } });
});

t.test('an Idempotency-Key is bare or fully quoted', async (t) => {
  const post = (key: string) =>
    call(server, 'POST', '/v1/tickets/I-1/plan/approve', { version: 2 }, { ...asAdmin, 'idempotency-key': key });
  for (const key of ['"open', '"', '""', '"a"b"', '"a"; b', 'é', 'x'.repeat(256)]) {
    t.match(await post(key), { status: 400, body: { errors: [{ path: '/idempotency-key' }] } }, key);
  }
  t.equal((await post('"one"')).status, 200);
  t.equal((await post('one')).headers.get('idempotent-replayed'), 'true');
});
