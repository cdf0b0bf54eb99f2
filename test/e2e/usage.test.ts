import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { Run } from '../../schemas/run.ts';
import type { UsageReport } from '../../schemas/usage.ts';
import { call, run } from '../helpers/client.ts';
import { ADMIN_KEY, asAdmin, makeKey } from '../helpers/keys.ts';
import { makeWorld, REPO, startServer } from '../helpers/server.ts';

const OTHER = 'https://github.com/acme/other';
const SAMPLE = fileURLToPath(new URL('../../standins/sample', import.meta.url));

const world = await makeWorld(t);
await world.github.addRepository('acme/other', { from: SAMPLE });
const server = await startServer(t, world, { API_KEY: ADMIN_KEY });
const usage = (query: string, headers: Record<string, string> = asAdmin) =>
  call<UsageReport>(server, 'GET', `/v1/usage${query}`, undefined, headers);
const total = (runs: readonly Run[], field: 'input_tokens' | 'output_tokens' | 'cached_tokens') =>
  runs.reduce((sum, { usage }) => sum + usage[field], 0);
const sums = (runs: readonly Run[]) => ({
  runs: runs.length,
  input_tokens: total(runs, 'input_tokens'),
  output_tokens: total(runs, 'output_tokens'),
  cached_tokens: total(runs, 'cached_tokens'),
});

t.test('GET /v1/usage groups usage by day, ticket or key', async (t) => {
  world.gemini.on('a question', [{ text: 'an answer' }]);
  const key = await makeKey(server, { scopes: ['chat'], repositories: ['acme/duration'] });
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'U-1', repo_url: REPO }, asAdmin);
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'U-2', repo_url: OTHER }, asAdmin);
  const ask = { action: 'chat', message: 'a question' };
  const own = [(await run(server, 'U-1', ask, key.headers)).run, (await run(server, 'U-1', ask, key.headers)).run];
  const others = [(await run(server, 'U-2', ask, asAdmin)).run];
  const all = [...own, ...others];
  t.ok(total(all, 'input_tokens') > 0 && total(all, 'output_tokens') > 0);
  const today = all[0]?.created_at.slice(0, 10) ?? '';

  const days = (await usage('')).body;
  t.equal(days.to, today);
  t.match(days.items, [{ day: today, ...sums(all), runs_by_state: { succeeded: 3 }, runs_by_action: { chat: 3 } }]);
  t.equal(days.items.length, 1);
  t.ok((days.items[0]?.duration_ms ?? 0) > 0);

  t.strictSame((await usage(`?from=${today}&to=9999-12-31`)).body.items, days.items, 'up to the last possible day');

  const byTicket = (await usage('?by=ticket')).body.items;
  t.match(byTicket, [
    { ticket_id: 'U-1', ...sums(own) },
    { ticket_id: 'U-2', ...sums(others) },
  ]);
  t.match((await usage('?by=key')).body.items, [
    { key_id: key.key_id, ...sums(own) },
    { key_id: 'environment', ...sums(others) },
  ]);

  t.match(await usage('?by=key', key.headers), { status: 403, body: { code: 'forbidden_scope' } });
  t.strictSame(
    (await usage('?by=ticket', key.headers)).body.items.map(({ ticket_id }) => ticket_id),
    ['U-1'],
    'a limited key sees only the usage of its repositories',
  );
});

t.test('GET /v1/usage includes the days `from` and `to`', async (t) => {
  const { items } = (await usage('')).body;
  const today = items[0]?.day ?? '';
  t.match((await usage(`?from=${today}&to=${today}`)).body.items, items);
  t.strictSame((await usage('?from=2020-01-01&to=2020-12-31')).body, {
    from: '2020-01-01',
    to: '2020-12-31',
    items: [],
  });
  for (const query of ['?from=2020-02-01&to=2020-01-01', '?from=yesterday', '?by=year', '?to=2026-13-01']) {
    t.match(await usage(query), { status: 400, body: { code: 'invalid_request' } }, query);
  }
});
