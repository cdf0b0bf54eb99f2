import { rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import t from 'tap';
import type { Run } from '../../schemas/run.ts';
import { withoutDefences } from '../attacks/client-arena.ts';
import { call, events, run } from '../helpers/client.ts';
import { makeWorld, REPO, startServerProcess } from '../helpers/server.ts';

const world = await makeWorld(t);
const { gemini } = world;
const server = await startServerProcess(t, world, {
  MAX_CONCURRENT_RUNS: '1',
  MAX_QUEUED_RUNS: '2',
});
const start = (ticketId: string, message: string) =>
  call<Run>(server, 'POST', `/v1/tickets/${ticketId}/runs`, { action: 'chat', message });
const held = (text: string) => gemini.waitFor((request) => request.prompt.includes(text) && request.state === 'held');

t.test('the server enforces MAX_CONCURRENT_RUNS and MAX_QUEUED_RUNS', async (t) => {
  for (const ticket_id of ['L-1', 'L-2']) await call(server, 'POST', '/v1/tickets', { ticket_id, repo_url: REPO });
  gemini.on('hold on', [{ hang: true }, { text: 'at last' }]);
  const first = await start('L-1', 'hold on');
  await held('hold on');
  const other = await start('L-2', 'another ticket');
  t.match(other.body, { state: 'queued', queue_position: 1 });
  const third = await start('L-2', 'a third');
  t.match(third.body, { state: 'queued', queue_position: 2 });
  t.match((await call(server, 'GET', '/v1/runs?state=running')).body.items, { length: 1 }, 'one run at a time');
  const full = await start('L-1', 'too many');
  t.match(full, { status: 429, body: { code: 'queue_full', remedy: String } });
  t.ok(Number(full.headers.get('retry-after')) > 0);

  t.match(await call(server, 'DELETE', '/v1/tickets/L-2'), { status: 409, body: { code: 'ticket_busy' } });
  t.match((await call(server, 'GET', '/v1/tickets/L-2')).body, { state: 'ready' });
  gemini.release();
  for (const { body } of [first, other, third]) {
    t.equal((await events(server, body.run_id)).at(-1)?.type, 'run.succeeded');
  }
});

t.test('a run times out after RUN_TIMEOUT_SECONDS', async (t) => {
  const world = await makeWorld(t);
  const server = await startServerProcess(t, world, { RUN_TIMEOUT_SECONDS: '5' });
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'L-1', repo_url: REPO });
  world.gemini.on('never an answer', [{ hang: true }]);
  const { run: ended, events: seen } = await run(server, 'L-1', { action: 'chat', message: 'never an answer' });
  const detail = 'The run took longer than the 5 s that RUN_TIMEOUT_SECONDS allows.';
  t.match(ended, { state: 'timed_out', error: { code: 'timed_out', detail, retryable: true } });
  t.equal(seen.at(-1)?.type, 'run.timed_out');
});

t.test('a run fails with agent_stopped when its agent stops early', async (t) => {
  // Gemini CLI stops early only after very many requests, so the test injects the stop reason.
  const early = {
    file: 'src/agents/acp/session.ts',
    from: 'reason === answer.stopReason',
    to: "reason === 'max_tokens'",
  };
  const { env, nodeArgs } = withoutDefences({ edits: [early] });
  const folders = { DATA_DIR: join(world.dir, 'early'), TICKETS_ROOT: join(world.dir, 'early-tickets') };
  const other = await startServerProcess(t, world, { ...folders, ...env }, nodeArgs);
  await call(other, 'POST', '/v1/tickets', { ticket_id: 'S-1', repo_url: REPO });
  gemini.on('stop early', [{ text: 'The answer is' }]);
  const { run: ended } = await run(other, 'S-1', { action: 'chat', message: 'stop early' });
  t.match(ended, { state: 'failed', error: { code: 'agent_stopped', detail: /max_tokens/ } });
  await other.stop();
});

t.test('Last-Event-ID takes precedence over ?after=', async (t) => {
  const { run: ended, events: seen } = await run(server, 'L-1', { action: 'chat', message: 'briefly' });
  const path = `/v1/runs/${ended.run_id}/events?after=1`;
  const page = await call(server, 'GET', path, undefined, { accept: 'application/json', 'last-event-id': '3' });
  t.strictSame(page.body.items, seen.slice(3));
});

t.test('deleting a ticket cancels its runs and ends their streams', async (t) => {
  gemini.on('while it is removed', [{ hang: true }]);
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'L-3', repo_url: REPO });
  const started = await start('L-3', 'while it is removed');
  const reading = events(server, started.body.run_id);
  await held('while it is removed');
  const answers = await Promise.all([
    call(server, 'DELETE', '/v1/tickets/L-3?force=true'),
    start('L-3', 'one more'),
    start('L-3', 'and another'),
  ]);
  t.equal(answers[0].status, 204);
  t.equal((await reading).at(-1)?.type, 'run.canceled');
  for (const { status, body } of answers.slice(1)) t.ok(status === 404 || status === 202, JSON.stringify(body));
  t.equal((await call(server, 'GET', '/v1/tickets/L-3')).status, 404);
  t.equal((await call(server, 'GET', `/v1/runs/${started.body.run_id}`)).status, 404);
  t.match(
    await call(server, 'POST', '/v1/tickets', { ticket_id: 'L-3', repo_url: REPO }),
    { status: 201 },
    'the id is free again',
  );
});

t.test('/create_ticket restores a missing workspace', async (t) => {
  await rm(`${world.dir}/tickets/L-3`, { recursive: true });
  t.match(await call(server, 'POST', '/create_ticket', { ticket_id: 'L-3', repo_url: REPO }), {
    status: 200,
    body: { created: false },
  });
  t.equal((await run(server, 'L-3', { action: 'chat', message: 'are you there' })).run.state, 'succeeded');
});

t.test('the server answers invalid HTTP with a problem document', async (t) => {
  const { hostname, port } = new URL(server.url);
  const socket = connect(Number(port), hostname);
  socket.write('NONSENSE\r\n\r\n');
  const answer = await text(socket);
  t.match(answer, /^HTTP\/1\.1 400 Bad Request\r\n/);
  t.match(answer, /application\/problem\+json/);
  t.match(JSON.parse(answer.slice(answer.indexOf('{'))), { code: 'invalid_request', status: 400 });
});

t.test('a second server refuses to start on the same data folder', async (t) => {
  await t.rejects(startServerProcess(t, world), /another server uses DATA_DIR/);
  t.equal((await call(server, 'GET', '/livez')).status, 200);
});

t.test('an unfinished request does not delay the shutdown', async (t) => {
  const world = await makeWorld(t);
  const server = await startServerProcess(t, world, { SHUTDOWN_SECONDS: '4' });
  const { hostname, port } = new URL(server.url);
  const stalled = connect(Number(port), hostname);
  stalled.on('error', () => {});
  t.teardown(() => stalled.destroy());
  stalled.write(
    'POST /v1/tickets HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{',
  );
  await call(server, 'GET', '/livez');
  t.equal((await server.stop('SIGTERM')).code, 0);
});
