import { execFileSync } from 'node:child_process';
import { rename } from 'node:fs/promises';
import t from 'tap';
import type { Run } from '../../schemas/run.ts';
import { call, events, run } from '../helpers/client.ts';
import { ADMIN_KEY, asAdmin, makeKey } from '../helpers/keys.ts';
import { makeWorld, REPO, type ServerProcess, startServerProcess } from '../helpers/server.ts';

type Samples = Map<string, number>;

async function scrape(server: ServerProcess, headers: Record<string, string> = {}) {
  const { status, headers: answered, body } = await call<string>(server, 'GET', '/metrics', undefined, headers);
  const samples: Samples = new Map();
  for (const line of status === 200 ? body.split('\n') : []) {
    const [, series, value] = /^([^# ][^{ ]*(?:\{.*\})?) (\S+)$/.exec(line) ?? [];
    if (series !== undefined) samples.set(series, Number(value));
  }
  return { status, type: answered.get('content-type'), body, samples };
}

/** Polls a path until it answers with a status. `/readyz` caches its response for a second. */
async function until(server: ServerProcess, path: string, status: number) {
  for (;;) {
    const answer = await call(server, 'GET', path);
    if (answer.status === status) return answer;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const world = await makeWorld(t);
const { gemini } = world;
gemini.on('what is it', [{ text: 'A library.' }]);
gemini.on('nobody knows this', [{ error: { status: 400 } }]);
gemini.on('wait', [{ hang: true }]);
const server = await startServerProcess(t, world, { API_KEY: ADMIN_KEY, RATE_LIMIT_PER_MINUTE: '100000' });

t.test('metrics report runs, tokens, git commands and requests', async (t) => {
  const { headers } = await makeKey(server, { scopes: ['metrics'] });
  const made = await call(server, 'POST', '/v1/tickets', { ticket_id: 'OBS-1', repo_url: REPO }, asAdmin);
  t.equal(made.status, 201);
  const first = await run(server, 'OBS-1', { action: 'chat', message: 'what is it' }, asAdmin);
  const second = await run(server, 'OBS-1', { action: 'chat', message: 'what is it' }, asAdmin);
  const failed = await run(server, 'OBS-1', { action: 'chat', message: 'nobody knows this' }, asAdmin);
  t.equal(failed.run.state, 'failed');

  const started = await call<Run>(
    server,
    'POST',
    '/v1/tickets/OBS-1/runs',
    { action: 'chat', message: 'wait' },
    asAdmin,
  );
  const { run_id } = started.body;
  await events(server, run_id, {
    headers: asAdmin,
    until: (event) => event.type === 'step.started' && event.data.step === 'agent',
  });
  const waiting = await call<Run>(server, 'POST', '/v1/tickets/OBS-1/runs', { action: 'make_plan' }, asAdmin);
  for (const path of ['/hostile-path', '/v1/tickets/HOSTILE-9']) await call(server, 'GET', path, undefined, asAdmin);

  const { status, type, body, samples } = await scrape(server, headers);
  t.equal(status, 200);
  t.match(type, /^text\/plain; version=0\.0\.4/);
  const is = (series: string, value: number) => t.equal(samples.get(`pullwright_${series}`), value, series);
  const has = (series: string) => t.ok((samples.get(`pullwright_${series}`) ?? 0) > 0, series);

  is('runs{state="running",action="chat"}', 1);
  is('runs{state="queued",action="make_plan"}', 1);
  is('runs{state="queued",action="chat"}', 0);
  is('runs_ended_total{action="chat",outcome="succeeded"}', 2);
  is('runs_ended_total{action="chat",outcome="failed"}', 1);
  is(`run_errors_total{code="${failed.run.error?.code}"}`, 1);
  is('run_duration_seconds_count{action="chat",outcome="succeeded"}', 2);
  is('run_queue_wait_seconds_count{action="chat"}', 4);
  is('run_first_text_seconds_count{action="chat"}', 2);
  is('run_first_event_seconds_count{action="chat"}', 2);
  has('run_first_text_seconds_sum{action="chat"}');
  is('step_duration_seconds_count{step="agent"}', 2);
  is('agent_starts_total{agent="gemini",kind="cold"}', 1);
  has('agent_starts_total{agent="gemini",kind="warm"}');
  const input = [first, second, failed].reduce((sum, ended) => sum + ended.run.usage.input_tokens, 0);
  is('tokens_total{model="gemini-2.5-pro",kind="input"}', input);
  has('model_calls_total{model="gemini-2.5-pro",status="200"}');
  has('git_command_duration_seconds_count{operation="fetch",outcome="ok"}');
  has('store_commit_duration_seconds_count');
  has('store_commit_writes_sum');
  is('http_requests_total{method="POST",route="/v1/tickets",status="201"}', 1);
  is('http_requests_total{method="GET",route="none",status="404"}', 1);
  is('http_requests_total{method="GET",route="/v1/tickets/:ticket_id",status="404"}', 1);
  has('http_connections');
  has('disk_free_bytes{folder="data"}');
  is('ready{check="store"}', 1);
  t.ok(samples.has('nodejs_eventloop_lag_p99_seconds') && samples.has('process_open_fds'));
  t.notMatch(body, /OBS-1|hostile|nobody knows|[0-9a-f]{8}-[0-9a-f]{4}-7/i, 'no label holds text of clients or agents');

  for (const id of [waiting.body.run_id, run_id]) {
    t.equal((await call(server, 'POST', `/v1/runs/${id}/cancel`, undefined, asAdmin)).status, 202);
  }
  await events(server, run_id, { headers: asAdmin });
  const after = await scrape(server, headers);
  t.equal(after.samples.get('pullwright_runs_ended_total{action="chat",outcome="canceled"}'), 1);
  t.equal(after.samples.get('pullwright_runs_ended_total{action="make_plan",outcome="canceled"}'), 1);
  t.notOk(after.samples.has('pullwright_run_duration_seconds_count{action="make_plan",outcome="canceled"}'));
  t.equal(after.samples.get('pullwright_event_streams'), 0);
});

t.test('metrics follow the naming rules of Prometheus', async (t) => {
  const { body } = await scrape(server, asAdmin);
  const families = [...body.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type]) => ({ name, type }));
  t.ok(families.length > 40);
  for (const { name, type } of families) {
    t.equal(/_total$/.test(name), type === 'counter', `${name} is a ${type}`);
    t.match(body, new RegExp(`^# HELP ${name} \\S`, 'm'));
  }
  const lint = promtool(body);
  if (lint !== undefined) t.equal(lint, '');
});

/** Returns the complaints of `promtool check metrics`, or undefined when promtool is not installed. */
function promtool(input: string): string | undefined {
  try {
    return execFileSync('promtool', ['check', 'metrics'], { input, encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    return error instanceof Error && 'stderr' in error ? String(error.stderr) : String(error);
  }
}

t.test('/metrics requires the scope metrics', async (t) => {
  t.equal((await scrape(server)).status, 401);
  const { headers } = await makeKey(server, { scopes: ['read', 'chat', 'plan', 'dev'] });
  t.equal((await scrape(server, headers)).status, 403);
  const limited = { name: 'x', scopes: ['metrics'], repositories: ['acme/duration'] };
  t.match(await call(server, 'POST', '/v1/keys', limited, asAdmin), { status: 400, body: { code: 'invalid_request' } });
});

t.test('/readyz names the failing check', async (t) => {
  const own = await makeWorld(t);
  const server = await startServerProcess(t, own, { RATE_LIMIT_PER_MINUTE: '1000000', SHUTDOWN_SECONDS: '60' });
  const names = ['server', 'store', 'data folder', 'tickets folder', 'sandbox', 'agent', 'model'];
  const { body } = await call(server, 'GET', '/readyz');
  t.strictSame(body, { status: 'ok', checks: names.map((name) => ({ name, ok: true })) });
  const failing = (answer: { body: { checks: { name: string; ok: boolean }[] } }) =>
    answer.body.checks.filter(({ ok }) => !ok).map(({ name }) => name);

  await rename(`${own.dir}/tickets`, `${own.dir}/elsewhere`);
  const without = await until(server, '/readyz', 503);
  t.strictSame(failing(without), ['tickets folder']);
  t.equal(without.body.status, 'unavailable');
  t.notMatch(JSON.stringify(without.body), own.dir, 'the response names no path');
  t.match(await server.logged(({ msg }) => msg === 'not ready'), { check: 'tickets folder' });
  await rename(`${own.dir}/elsewhere`, `${own.dir}/tickets`);
  await until(server, '/readyz', 200);
  t.ok(await server.logged(({ msg }) => msg === 'ready again'));

  t.equal((await call(server, 'POST', '/v1/tickets', { ticket_id: 'R-1', repo_url: REPO })).status, 201);
  own.gemini.on('refuse', [{ error: { status: 403 } }]);
  own.gemini.on('what is it', [{ text: 'A library.' }]);
  const refused = await run(server, 'R-1', { action: 'chat', message: 'refuse' });
  t.equal(refused.run.error?.code, 'agent_auth');
  t.strictSame(failing(await until(server, '/readyz', 503)), ['model']);
  t.equal((await run(server, 'R-1', { action: 'chat', message: 'what is it' })).run.state, 'succeeded');
  await until(server, '/readyz', 200);

  own.gemini.on('wait', [{ hang: true }]);
  const last = await call<Run>(server, 'POST', '/v1/tickets/R-1/runs', { action: 'chat', message: 'wait' });
  await events(server, last.body.run_id, {
    until: (event) => event.type === 'step.started' && event.data.step === 'agent',
  });
  server.process.kill('SIGTERM');
  await server.logged(({ msg }) => msg === 'server stopping');
  t.strictSame(failing(await until(server, '/readyz', 503)), ['server'], 'the server answers while it stops');
  t.equal((await call(server, 'GET', '/livez')).status, 200);
  t.equal((await call(server, 'GET', '/metrics')).status, 200);
  t.equal((await call(server, 'GET', '/v1/runs')).status, 503);
  t.match(await server.stop(), { signal: null });
});

t.test('/readyz fails when a low disk makes the server refuse new work', async (t) => {
  const own = await makeWorld(t);
  const server = await startServerProcess(t, own, { MIN_FREE_DISK_MB: '100000000' });
  const { status, body } = await call(server, 'GET', '/readyz');
  t.equal(status, 503);
  t.match(body.checks, [{ name: 'server', ok: true }, { ok: true }, { name: 'data folder', ok: false }, { ok: false }]);
  t.equal((await call(server, 'POST', '/v1/tickets', { ticket_id: 'R-2', repo_url: REPO })).status, 507);
  await server.stop();
});

t.test('/readyz fails when the agent has no key', async (t) => {
  const own = await makeWorld(t);
  const server = await startServerProcess(t, own, { GEMINI_API_KEY: '' });
  const { status, body } = await call(server, 'GET', '/readyz');
  t.match({ status, body }, { status: 503, body: { checks: Array } });
  t.match(
    body.checks.find(({ ok }: { ok: boolean }) => !ok),
    { name: 'agent' },
  );
});
