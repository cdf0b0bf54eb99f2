import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import SQLite from 'better-sqlite3';
import t from 'tap';
import type { Run } from '../../schemas/run.ts';
import { call, events } from '../helpers/client.ts';
import { ADMIN_KEY, asAdmin, makeKey } from '../helpers/keys.ts';
import { noneLeft } from '../helpers/processes.ts';
import { makeWorld, REPO, type ServerProcess, startServerProcess } from '../helpers/server.ts';

const world = await makeWorld(t);
const { gemini, github } = world;
const settings = { API_KEY: ADMIN_KEY, MAX_QUEUED_RUNS: '2' };
let server = await startServerProcess(t, world, settings);

const post = <T>(path: string, body: object | undefined, key: string, headers: Record<string, string> = asAdmin) =>
  call<T>(server, 'POST', path, body, { ...headers, 'idempotency-key': key });
const runsOf = async (ticketId: string): Promise<Run[]> =>
  (await call(server, 'GET', `/v1/tickets/${ticketId}/runs`, undefined, asAdmin)).body.items;
const held = (text: string) => gemini.waitFor((request) => request.prompt.includes(text) && request.state === 'held');
const ended = (runId: string) => events(server, runId, { headers: asAdmin });
const stream = async (body: object, headers: Record<string, string>) =>
  fetch(new URL('/command', server.url), {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...asAdmin, ...headers },
    body: JSON.stringify(body),
  });

async function killAndRestart(): Promise<ServerProcess> {
  await server.stop('SIGKILL');
  await noneLeft(world.dir);
  server = await startServerProcess(t, world, settings);
  return server;
}

t.test('a repeated request with the same key runs once and gets the same response', async (t) => {
  const first = await post('/v1/tickets', { ticket_id: 'I-1', repo_url: REPO, title: 'One' }, 'ticket-1');
  t.match(first, { status: 201, body: { ticket_id: 'I-1' } });
  t.equal(first.headers.get('idempotent-replayed'), null);
  for (const key of ['ticket-1', '"ticket-1"']) {
    const again = await post('/v1/tickets', { title: 'One', repo_url: REPO, ticket_id: 'I-1' }, key);
    t.equal(again.status, 201);
    t.strictSame(again.body, first.body);
    t.equal(again.headers.get('location'), '/v1/tickets/I-1');
    t.match(again.headers.get('content-type'), /^application\/json/);
    t.equal(again.headers.get('idempotent-replayed'), 'true');
  }
  t.match(await post('/v1/tickets', { ticket_id: 'I-1', repo_url: REPO, title: 'Two' }, 'ticket-1'), {
    status: 422,
    body: { code: 'idempotency_key_reused' },
  });
  t.match(await post('/v1/tickets', { ticket_id: 'I-1', repo_url: REPO, title: 'Two' }, 'ticket-2'), { status: 200 });
  t.match((await call(server, 'GET', '/v1/tickets/I-1', undefined, asAdmin)).body, { title: 'Two' });
});

t.test('an idempotency key is valid for one caller and one route', async (t) => {
  const one = await makeKey(server, { scopes: ['chat'] });
  const create = { ticket_id: 'I-1', repo_url: REPO };
  t.equal((await post('/v1/tickets', { ...create, title: 'Three' }, 'ticket-1', one.headers)).status, 200);
  t.match(await post('/create_ticket', { ...create, title: 'Four' }, 'ticket-1'), {
    status: 200,
    body: { created: false },
  });
});

t.test('the server refuses an empty, long or malformed idempotency key', async (t) => {
  for (const key of ['', 'k'.repeat(256), 'schl\u00fcssel', 'tab\there']) {
    t.match(
      await post('/v1/tickets', { ticket_id: 'I-1', repo_url: REPO }, key),
      { status: 400, body: { code: 'invalid_request', errors: [{ path: '/idempotency-key' }] } },
      JSON.stringify(key),
    );
  }
  t.match(await post('/v1/tickets', { ticket_id: 'I-1', repo_url: REPO }, 'k'.repeat(255)), { status: 200 });
});

t.test('twenty concurrent requests with one key start one run', async (t) => {
  gemini.on('only once', [{ text: 'once' }]);
  const answers = await Promise.all(
    Array.from({ length: 20 }, () =>
      post<Run & { code: string }>('/v1/tickets/I-1/runs', { action: 'chat', message: 'only once' }, 'burst'),
    ),
  );
  const runs = await runsOf('I-1');
  t.equal(runs.length, 1);
  for (const { status, body, headers } of answers) {
    if (status === 202) t.equal(body.run_id, runs[0]?.run_id);
    else {
      t.match({ status, body }, { status: 409, body: { code: 'idempotency_in_progress' } });
      t.equal(headers.get('retry-after'), '1');
    }
  }
  t.ok(answers.some(({ status }) => status === 202));
  await ended(runs[0]?.run_id ?? '');
  const late = await post<Run>('/v1/tickets/I-1/runs', { action: 'chat', message: 'only once' }, 'burst');
  t.match(
    late,
    { status: 202, body: { run_id: runs[0]?.run_id ?? '', state: 'queued' } },
    'the first response is repeated',
  );
  t.equal(late.headers.get('location'), `/v1/runs/${runs[0]?.run_id}`);
});

t.test('a repeated /command streams the same run', async (t) => {
  gemini.on('tell it again', [
    { calls: [{ name: 'read_file', args: { file_path: 'package.json' } }] },
    { hang: true },
    { text: 'three\nfour' },
  ]);
  const command = { ticket_id: 'I-1', action: 'chat', message: 'tell it again' };
  const first = await stream(command, { 'idempotency-key': 'command' });
  await held('tell it again');
  const second = await stream(command, { 'idempotency-key': 'command' });
  t.equal(second.headers.get('x-run-id'), first.headers.get('x-run-id'));
  t.equal(second.headers.get('idempotent-replayed'), 'true');
  gemini.release();
  const texts = await Promise.all([first, second].map((answer) => answer.text()));
  t.match(texts[0], /data: three\n.*data: four\n.*data: __END__\n/s);
  t.equal(texts[1], texts[0], 'the second stream starts at the beginning');
  t.equal((await runsOf('I-1')).length, 2);

  const [, id = ''] = /id: (\d+)\ndata: \[tool\]/.exec(texts[0] ?? '') ?? [];
  const rest = await (await stream(command, { 'idempotency-key': 'command', 'last-event-id': id })).text();
  t.equal(
    rest.replace(/^:\n\n/, ''),
    (texts[0] ?? '').split(/data: \[tool\].*\n\n/)[1],
    'the stream resumes after Last-Event-ID',
  );
  const text = (await ended(first.headers.get('x-run-id') ?? '')).find(({ type }) => type === 'message.delta');
  const headers = { 'idempotency-key': 'command', 'last-event-id': String((text?.seq ?? 0) - 1) };
  const [beginning] = /^id: .*$/m.exec(await (await stream(command, headers)).text()) ?? [];
  t.equal(beginning, `id: ${headers['last-event-id']}`, 'an incomplete line is sent again');
  const last = [...(texts[0] ?? '').matchAll(/^id: (\d+)$/gm)].at(-1)?.[1] ?? '';
  t.equal((await stream(command, { 'idempotency-key': 'command', 'last-event-id': last })).status, 204);
  t.equal((await stream(command, { 'idempotency-key': 'command', 'last-event-id': '9999' })).status, 400);
  const whole = await stream(command, { 'idempotency-key': 'command' });
  t.equal(whole.status, 200, 'a resumed repetition does not change the stored response');
  t.equal(await whole.text(), texts[0]);
  t.match(await post('/command', { ...command, message: 'another' }, 'command'), { status: 422 });
});

t.test('the server repeats a permanent refusal and retries after a temporary one', async (t) => {
  const ask = { action: 'chat', message: 'wait for me' };
  t.equal((await post('/v1/tickets/I-2/runs', ask, 'too-early')).status, 404);
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'I-2', repo_url: REPO }, asAdmin);
  const again = await post('/v1/tickets/I-2/runs', ask, 'too-early');
  t.match(again, { status: 404, body: { code: 'ticket_not_found' } });
  t.equal(again.headers.get('idempotent-replayed'), 'true');
  t.equal(again.headers.get('content-type'), 'application/problem+json');

  gemini.on('wait for me', [{ hang: true }, { text: 'here' }]);
  const start = (key: string) => post<Run>('/v1/tickets/I-2/runs', ask, key);
  const first = await start('full-1');
  await held('wait for me');
  const others = [await start('full-2'), await start('full-3')];
  t.match(await start('full-4'), { status: 429, body: { code: 'queue_full' } });
  for (const { body } of others) {
    await call(server, 'POST', `/v1/runs/${body.run_id}/cancel`, undefined, asAdmin);
  }
  const late = await start('full-4');
  t.equal(late.status, 202);
  gemini.release();
  await Promise.all([ended(first.body.run_id), ended(late.body.run_id)]);
});

t.test('the server does not store a response with a secret', async (t) => {
  const make = () => post<{ key: string }>('/v1/keys', { name: 'ci', scopes: ['read'] }, 'make-a-key');
  const first = await make();
  t.equal(first.status, 201);
  t.match(await make(), { status: 409, body: { code: 'secret_shown_once', remedy: /Revoke/ } });
  const secret = first.body.key.slice(-43);
  for (const file of ['pullwright.db', 'pullwright.db-wal']) {
    t.notOk(readFileSync(join(world.dir, 'data', file)).includes(secret), file);
  }
});

t.test('a repetition gets 409 while the request runs, and succeeds after kill -9', async (t) => {
  const create = { ticket_id: 'I-3', repo_url: REPO };
  const reached = github.hang({ match: /info\/refs/ });
  const cut = post('/v1/tickets', create, 'cut-off').catch(() => 'cut off');
  await reached;
  t.match(await post('/v1/tickets', create, 'cut-off'), { status: 409, body: { code: 'idempotency_in_progress' } });
  t.match(await post('/v1/tickets', { ...create, title: 'x' }, 'cut-off'), { status: 422 });
  await killAndRestart();
  t.equal(await cut, 'cut off');
  t.match(await post('/v1/tickets', create, 'cut-off'), { status: 201, body: { ticket_id: 'I-3', state: 'ready' } });
  t.match(await post('/v1/tickets', create, 'cut-off'), { status: 201 });
});

t.test('a repeated /command finds its run after kill -9', async (t) => {
  gemini.on('die with me', [{ hang: true }]);
  const command = { ticket_id: 'I-3', action: 'chat', message: 'die with me' };
  const first = await stream(command, { 'idempotency-key': 'streamed' });
  const runId = first.headers.get('x-run-id');
  await held('die with me');
  const broken = first.text().catch(() => 'broken');
  gemini.on(/cut short.*die with me/s, [{ text: 'alive' }]);
  await killAndRestart();
  t.equal(await broken, 'broken');
  const again = await stream(command, { 'idempotency-key': 'streamed' });
  t.equal(again.headers.get('x-run-id'), runId);
  t.match(await again.text(), /data: \[resumed\] attempt 2 .*\n\n.*data: alive\n\nid: \d+\ndata: __END__\n\n$/s);
  t.equal((await runsOf('I-3')).length, 1);
});

t.test('a retry finds the run when kill -9 came before the response was stored', async (t) => {
  gemini.on('briefly', [{ text: 'so' }]);
  const start = () => post<Run>('/v1/tickets/I-3/runs', { action: 'chat', message: 'briefly' }, 'unanswered');
  const first = await start();
  await ended(first.body.run_id);
  await server.stop('SIGKILL');
  // Such a crash leaves the run and its record without a stored response.
  const db = new SQLite(join(world.dir, 'data', 'pullwright.db'));
  const { changes } = db
    .prepare('update idempotency set status = null, headers = null, body = null where run_id = ?')
    .run(first.body.run_id);
  db.close();
  t.equal(changes, 1);
  server = await startServerProcess(t, world, settings);
  const again = await start();
  t.match(again, { status: 202, body: { run_id: first.body.run_id, state: 'succeeded' } });
  t.equal(again.headers.get('idempotent-replayed'), 'true');
  t.equal((await runsOf('I-3')).length, 2);
});

t.test('an idempotency key expires after a day', async (t) => {
  await server.stop();
  const db = new SQLite(join(world.dir, 'data', 'pullwright.db'));
  const yesterday = new Date(Date.now() - 24 * 60 * 60 * 1000 - 1000).toISOString();
  db.prepare('update idempotency set created_at = ?').run(yesterday);
  db.close();
  server = await startServerProcess(t, world, settings);
  const again = await post('/v1/tickets', { ticket_id: 'I-3', repo_url: REPO }, 'ticket-1');
  t.match(again, { status: 200, body: { ticket_id: 'I-3' } });
  t.equal(again.headers.get('idempotent-replayed'), null);
});
