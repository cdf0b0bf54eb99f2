import { join } from 'node:path';
import SQLite from 'better-sqlite3';
import t from 'tap';
import type { Run } from '../../schemas/run.ts';
import { agentText, call, events, run } from '../helpers/client.ts';
import { noneLeft, processesIn } from '../helpers/processes.ts';
import { makeWorld, REPO, startServerProcess } from '../helpers/server.ts';

const world = await makeWorld(t);
const { gemini, github } = world;
const held = (text: string) => gemini.waitFor((request) => request.prompt.includes(text) && request.state === 'held');
const PLAN = '# Notes\n\n## Goal\n\nNotes.';
const write = { calls: [{ name: 'write_file', args: { file_path: 'NOTES.md', content: 'notes\n' } }] };

t.test('a `chat` run continues with all its events after kill -9', async (t) => {
  let server = await startServerProcess(t, world);
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'K-1', repo_url: REPO });
  gemini.on('a long story', [
    { calls: [{ name: 'read_file', args: { file_path: 'package.json' } }] },
    { hang: true },
    { text: 'over' },
  ]);
  gemini.on('and then', [{ text: 'they lived on' }]);
  const started = await call<Run>(server, 'POST', '/v1/tickets/K-1/runs', { action: 'chat', message: 'a long story' });
  const waiting = await call<Run>(server, 'POST', '/v1/tickets/K-1/runs', { action: 'chat', message: 'and then' });
  const runId = started.body.run_id;
  const early = await events(server, runId, {
    until: (event) => event.type === 'tool.updated' && event.data.status === 'completed',
  });
  await held('a long story');
  t.ok(
    processesIn(world.dir).some(({ command }) => command.includes('bwrap')),
    'the agent is running',
  );

  await server.stop('SIGKILL');
  await noneLeft(world.dir);
  t.pass('no agent process remains');

  server = await startServerProcess(t, world);
  const log = await events(server, runId, { lastEventId: early.at(-1)?.seq ?? 0 });
  t.match(log.find((event) => event.type === 'run.resumed')?.data, { cause: 'server restart', attempt: 2 });
  t.match(log.at(-1), { type: 'run.succeeded', data: { result: { text: 'over' } } });
  const whole = await events(server, runId);
  t.strictSame(whole.slice(0, early.length), early, 'its events are kept');
  t.strictSame(
    whole.map((event) => event.seq),
    whole.map((_, index) => index + 1),
  );
  t.equal(agentText(await events(server, waiting.body.run_id)), 'they lived on', 'the queue is kept');
  t.match((await call(server, 'GET', '/v1/tickets/K-1')).body, { state: 'ready', last_run: { state: 'succeeded' } });
  await server.stop();
});

t.test('the next start publishes once after kill -9 while the pull request is opened', async (t) => {
  let server = await startServerProcess(t, world);
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'K-2', repo_url: REPO });
  gemini.on(/Action: make_plan.*K-2/s, [{ text: PLAN }]);
  gemini.on(/Action: dev.*K-2/s, [write, { text: 'Wrote them.' }]);
  const reached = github.hang({ match: /POST .*\/pulls$/ });
  const started = await call<Run>(server, 'POST', '/v1/tickets/K-2/runs', { action: 'dev' });
  await reached;
  await server.stop('SIGKILL');

  server = await startServerProcess(t, world);
  const log = await events(server, started.body.run_id);
  t.match(log.at(-1), { type: 'run.succeeded', data: { result: { pull_request: { number: Number } } } });
  t.equal(log.filter((event) => event.type === 'commit.created').length, 1);
  t.equal(log.filter((event) => event.type === 'branch.pushed').length, 1);
  t.ok(log.some((event) => event.type === 'run.resumed'));
  t.equal(github.pulls('acme/duration').length, 1);
  t.match((await call(server, 'GET', `/v1/runs/${started.body.run_id}`)).body, { attempt: 2, state: 'succeeded' });
  await server.stop();
});

t.test('a graceful stop closes streams and ends agents, and the next start continues the run', async (t) => {
  let server = await startServerProcess(t, world, { SHUTDOWN_SECONDS: '2' });
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'K-3', repo_url: REPO });
  gemini.on('wait for me', [{ hang: true }, { text: 'here' }]);
  const started = await call<Run>(server, 'POST', '/v1/tickets/K-3/runs', { action: 'chat', message: 'wait for me' });
  const reading = events(server, started.body.run_id);
  await held('wait for me');
  const { code } = await server.stop('SIGTERM');
  t.equal(code, 0);
  const received = await reading;
  t.match(
    received.at(-1),
    { type: 'run.resumed', data: { cause: 'server stop', attempt: 2 } },
    'the stream ends with run.resumed',
  );
  t.strictSame(processesIn(world.dir), []);

  server = await startServerProcess(t, world);
  const rest = await events(server, started.body.run_id, { lastEventId: received.length });
  t.match(rest.at(-1), { type: 'run.succeeded', data: { result: { text: 'here' } } }, 'the run continues');
  gemini.on('again', [{ text: 'here I am' }]);
  t.equal(
    (await run(server, 'K-3', { action: 'chat', message: 'again' })).run.state,
    'succeeded',
    'the ticket still works',
  );
  await server.stop();
});

t.test('a second signal ends the server at once', async (t) => {
  const server = await startServerProcess(t, world, { SHUTDOWN_SECONDS: '600' });
  gemini.on('wait for ever', [{ hang: true }]);
  await call<Run>(server, 'POST', '/v1/tickets/K-3/runs', { action: 'chat', message: 'wait for ever' });
  await held('wait for ever');
  server.process.kill('SIGTERM');
  await server.logged((record) => record.msg === 'server stopping');
  const { code } = await server.stop('SIGTERM');
  t.not(code, 0);
  await noneLeft(world.dir);
});

t.test('the server answers 410 for deleted events and 204 after the last event', async (t) => {
  let server = await startServerProcess(t, world);
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'K-9', repo_url: REPO });
  gemini.on('long ago', [{ text: 'it was' }]);
  const { run: ended, events: seen } = await run(server, 'K-9', { action: 'chat', message: 'long ago' });
  await server.stop();
  const db = new SQLite(join(world.dir, 'data', 'pullwright.db'));
  db.prepare('update runs set events_deleted_at = finished_at where run_id = ?').run(ended.run_id);
  db.prepare('delete from events where run_id = ? and seq < 3').run(ended.run_id);
  db.close();

  server = await startServerProcess(t, world);
  const path = `/v1/runs/${ended.run_id}/events`;
  for (const accept of ['text/event-stream', 'application/json']) {
    t.match(await call(server, 'GET', path, undefined, { accept, 'last-event-id': '1' }), {
      status: 410,
      body: { code: 'events_expired', detail: /first kept event is 3/ },
    });
  }
  t.strictSame(await events(server, ended.run_id, { lastEventId: 2 }), seen.slice(2));
  const last = String(seen.length);
  t.equal((await call(server, 'GET', path, undefined, { 'last-event-id': last })).status, 204);
  await server.stop();
});
