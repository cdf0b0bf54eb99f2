import t from 'tap';
import type { Run } from '../../schemas/run.ts';
import { call, frames } from '../helpers/client.ts';
import { ADMIN_KEY, asAdmin, makeKey } from '../helpers/keys.ts';
import { makeWorld, REPO, type Server, startServer } from '../helpers/server.ts';

const world = await makeWorld(t);
const wrong = { 'x-api-key': 'not-the-key-of-this-server' };

/** Sends a request several times in sequence and returns the statuses. */
async function statuses(server: Server, times: number, headers: (index: number) => Record<string, string>) {
  const seen: number[] = [];
  for (let index = 0; index < times; index++) {
    seen.push((await call(server, 'GET', '/v1/tickets', undefined, headers(index))).status);
  }
  return seen;
}

/** Opens a stream of events and keeps it open. */
async function listen(server: Server, runId: string, headers: Record<string, string>) {
  const controller = new AbortController();
  const response = await fetch(new URL(`/v1/runs/${runId}/events`, server.url), { headers, signal: controller.signal });
  const close = () => controller.abort();
  if (response.status !== 200) return { status: response.status, body: await response.json(), close };
  await frames(response).next();
  return { status: response.status, body: undefined, close };
}

t.test('the server answers 429 to every key after AUTH_FAILURES_PER_MINUTE wrong ones', async (t) => {
  const server = await startServer(t, world, { API_KEY: ADMIN_KEY, AUTH_FAILURES_PER_MINUTE: '3' });
  t.strictSame(
    await statuses(server, 20, () => asAdmin),
    Array(20).fill(200),
    'valid requests do not count as failures',
  );
  t.strictSame(await statuses(server, 5, () => wrong), [401, 401, 401, 429, 429]);
  const limited = await call(server, 'GET', '/v1/tickets', undefined, asAdmin);
  t.match(limited, { status: 429, body: { code: 'too_many_failures' } }, 'a valid key is refused too');
  t.ok(Number(limited.headers.get('retry-after')) > 0);
  t.match(limited.headers.get('ratelimit'), /"failures";r=0;t=\d+$/);
  t.equal((await call(server, 'GET', '/livez')).status, 200);
});

t.test('the server takes the client address from a proxy in TRUST_PROXY', async (t) => {
  const server = await startServer(t, world, {
    API_KEY: ADMIN_KEY,
    AUTH_FAILURES_PER_MINUTE: '2',
    TRUST_PROXY: '10.0.0.0/8, 127.0.0.1',
  });
  const from = (addresses: string) => ({ ...wrong, 'x-forwarded-for': addresses });
  t.strictSame(await statuses(server, 3, () => from('198.51.100.7')), [401, 401, 429]);
  t.strictSame(await statuses(server, 2, () => from('198.51.100.8')), [401, 401], 'another client');
  t.strictSame(await statuses(server, 1, () => from('::ffff:198.51.100.8')), [429], 'the same client in IPv6 form');
  const one = ['2001:db8:1:2::1', '2001:DB8:1:2:ffff::2', '2001:0db8:1:2:3:4:5:6', '2001:db8:1:3::1', '2001:db8::1'];
  const network = await statuses(server, one.length, (index) => from(one[index] ?? ''));
  t.strictSame(network, [401, 401, 429, 401, 401], 'an IPv6 /64 network is one client');
});

t.test('each key has its own rate limit', async (t) => {
  const server = await startServer(t, world, { API_KEY: ADMIN_KEY, KEY_RATE_LIMIT_PER_MINUTE: '3' });
  const one = await makeKey(server, { scopes: ['read'] });
  const two = await makeKey(server, { scopes: ['read'] });
  const first = await call(server, 'GET', '/v1/tickets', undefined, one.headers);
  t.equal(first.headers.get('ratelimit-policy'), '"key";q=3;w=60');
  t.match(first.headers.get('ratelimit'), /^"key";r=2;t=\d+$/);
  t.strictSame(await statuses(server, 3, () => one.headers), [200, 200, 429]);
  const limited = await call(server, 'GET', '/v1/tickets', undefined, one.headers);
  t.match(limited.body, { code: 'rate_limited' });
  t.ok(Number(limited.headers.get('retry-after')) > 0);
  t.strictSame(await statuses(server, 1, () => two.headers), [200]);
  const anonymous = await call(server, 'GET', '/livez');
  t.equal(anonymous.headers.get('ratelimit-policy'), '"address";q=600;w=60');
  t.match(
    anonymous.headers.get('ratelimit'),
    /^"address";r=599;t=\d+$/,
    'requests with a key do not count against the address',
  );
});

t.test('the server limits the open streams and runs of a key', async (t) => {
  const server = await startServer(t, world, {
    API_KEY: ADMIN_KEY,
    MAX_STREAMS_PER_KEY: '2',
    MAX_RUNS_PER_KEY: '3',
    MAX_CONCURRENT_RUNS: '1',
  });
  world.gemini.on('stay', [{ hang: true }, { text: 'over' }]);
  const one = await makeKey(server, { scopes: ['chat'] });
  const two = await makeKey(server, { scopes: ['chat'] });
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'L-1', repo_url: REPO }, asAdmin);
  const ask = { action: 'chat', message: 'stay' };
  const start = (headers: Record<string, string>) => call<Run>(server, 'POST', '/v1/tickets/L-1/runs', ask, headers);

  const started = await Promise.all(Array.from({ length: 12 }, () => start(one.headers)));
  t.strictSame(
    started.map(({ status }) => status).sort(),
    [202, 202, 202, ...Array(9).fill(429)],
    'three of twelve concurrent requests start a run',
  );
  t.match(
    started.find(({ status }) => status === 429),
    { body: { code: 'too_many_runs', remedy: String } },
  );
  t.equal((await start(two.headers)).status, 202, 'another key is not limited');
  const runIds = started.filter(({ status }) => status === 202).map(({ body }) => body.run_id);
  const [first = '', second = ''] = runIds;

  const streams = [await listen(server, first, one.headers), await listen(server, second, one.headers)];
  t.strictSame(
    streams.map(({ status }) => status),
    [200, 200],
  );
  t.match(await listen(server, first, one.headers), { status: 429, body: { code: 'too_many_streams' } });
  const page = { ...one.headers, accept: 'application/json' };
  t.equal(
    (await call(server, 'GET', `/v1/runs/${first}/events`, undefined, page)).status,
    200,
    'a page does not count as a stream',
  );

  await call(server, 'POST', `/v1/runs/${runIds[2]}/cancel`, undefined, one.headers);
  const refused = await call(server, 'POST', '/command', { ticket_id: 'L-1', ...ask }, one.headers);
  t.match(refused.body, { code: 'too_many_streams' });
  const { body } = await call(server, 'GET', '/v1/runs?state=queued', undefined, asAdmin);
  t.equal(body.items.length, 2, 'the refused stream started no run');

  const other = await listen(server, first, two.headers);
  t.equal(other.status, 200, 'another key has its own streams');
  streams[0]?.close();
  let again = await listen(server, first, one.headers);
  // The server notices a closed connection slightly later than the client.
  while (again.status === 429) again = await listen(server, first, one.headers);
  t.equal(again.status, 200, 'a closed stream makes room');
  t.equal((await start(one.headers)).status, 202, 'a canceled run makes room');
  for (const stream of [...streams, other, again]) stream.close();
});
