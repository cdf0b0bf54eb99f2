import t from 'tap';
import type { Run } from '../../schemas/run.ts';
import { agentText, call, events, run } from '../helpers/client.ts';
import { makeWorld, REPO, startServer } from '../helpers/server.ts';

const world = await makeWorld(t);
const server = await startServer(t, world);
const { gemini } = world;

t.test('POST /v1/tickets creates tickets', async (t) => {
  for (const ticket_id of ['A-1', 'A-2', 'A-3']) {
    const created = await call(server, 'POST', '/v1/tickets', { ticket_id, repo_url: REPO });
    t.match(created, {
      status: 201,
      body: { ticket_id, state: 'ready', branch: `ticket_${ticket_id}`, base_branch: 'main' },
    });
    t.equal(created.headers.get('location'), `/v1/tickets/${ticket_id}`);
  }
});

const start = (ticketId: string, message: string) =>
  call<Run>(server, 'POST', `/v1/tickets/${ticketId}/runs`, { action: 'chat', message });
const held = (text: string) => gemini.waitFor((request) => request.prompt.includes(text) && request.state === 'held');

t.test('two tickets run concurrently, and a busy ticket queues its next run', async (t) => {
  gemini.on('first of A-1', [{ hang: true }, { text: 'A-1 first' }]);
  gemini.on('second of A-1', [{ text: 'A-1 second' }]);
  gemini.on('first of A-2', [{ hang: true }, { text: 'A-2 first' }]);

  const first = await start('A-1', 'first of A-1');
  t.equal(first.status, 202);
  t.equal(first.headers.get('location'), `/v1/runs/${first.body.run_id}`);
  const other = await start('A-2', 'first of A-2');
  await Promise.all([held('first of A-1'), held('first of A-2')]);
  t.pass('both agents run at the same time');

  const second = await start('A-1', 'second of A-1');
  t.match(second.body, { state: 'queued', queue_position: 1 });
  t.match((await call(server, 'GET', `/v1/runs/${second.body.run_id}`)).body, { state: 'queued', queue_position: 1 });
  t.match((await call(server, 'GET', '/v1/runs?state=running')).body.items.length, 2);

  gemini.release();
  const log = await events(server, second.body.run_id);
  t.equal(agentText(log), 'A-1 second');
  t.equal(agentText(await events(server, first.body.run_id)), 'A-1 first');
  t.equal(agentText(await events(server, other.body.run_id)), 'A-2 first');
  const [before, after] = await Promise.all(
    [first, second].map(async ({ body }) => (await call<Run>(server, 'GET', `/v1/runs/${body.run_id}`)).body),
  );
  t.ok((before?.finished_at ?? '') <= (after?.started_at ?? ''), 'the second run started after the first finished');
});

t.test('a conversation continues from command to command', async (t) => {
  gemini.on('remember the word', [{ text: 'I shall.' }]);
  gemini.on('which word', [{ text: 'It was plum.' }]);
  await run(server, 'A-3', { action: 'chat', message: 'remember the word plum' });
  await run(server, 'A-3', { action: 'chat', message: 'which word was it' });
  const asked = await gemini.waitFor((request) => request.prompt.includes('which word'));
  t.match(JSON.stringify(asked.body), /remember the word plum/, 'the request holds the earlier turn');
});

t.test('a reader that reconnects gets every event exactly once', async (t) => {
  gemini.on('count', [
    { calls: [{ name: 'read_file', args: { file_path: 'package.json' } }] },
    { hang: true },
    { text: 'done' },
  ]);
  const started = await start('A-2', 'count');
  const runId = started.body.run_id;
  const early = await events(server, runId, { until: (event) => event.type === 'tool.started' });
  await held('count');
  gemini.release();
  const rest = await events(server, runId, { lastEventId: early.at(-1)?.seq ?? 0 });
  const whole = await events(server, runId);
  t.strictSame([...early, ...rest], whole);
  t.strictSame(
    whole.map((event) => event.seq),
    whole.map((_, index) => index + 1),
    'numbered without a gap',
  );
  t.strictSame([whole[0]?.type, whole[1]?.type, whole.at(-1)?.type], ['run.queued', 'run.started', 'run.succeeded']);
  t.ok(whole.some((event) => event.type === 'tool.updated' && event.data.status === 'completed'));

  const page = await call(server, 'GET', `/v1/runs/${runId}/events?after=1&limit=2`, undefined, {
    accept: 'application/json',
  });
  t.strictSame(page.body, { items: whole.slice(1, 3), next_after: 3 });
  const end = whole.length;
  t.equal(
    (await call(server, 'GET', `/v1/runs/${runId}/events`, undefined, { 'last-event-id': String(end) })).status,
    204,
  );
  t.match(await call(server, 'GET', `/v1/runs/${runId}/events?after=${end + 1}`), {
    status: 400,
    body: { code: 'cursor_unknown' },
  });
  t.match(await call(server, 'GET', `/v1/runs/${runId}/events`, undefined, { 'last-event-id': 'x' }), {
    status: 400,
    body: { code: 'cursor_unknown' },
  });
});

t.test('cancel stops queued and running runs', async (t) => {
  gemini.on('never ends', [{ hang: true }]);
  const first = await start('A-1', 'never ends');
  const second = await start('A-1', 'never begins');
  await held('never ends');

  const queued = await call<Run>(server, 'POST', `/v1/runs/${second.body.run_id}/cancel`);
  t.match(queued, { status: 202, body: { state: 'canceled' } });
  t.equal((await call(server, 'POST', `/v1/runs/${first.body.run_id}/cancel`)).status, 202);
  const log = await events(server, first.body.run_id);
  t.match(log.at(-1), { type: 'run.canceled', data: { error: { code: 'canceled' } } });
  t.match(await call(server, 'POST', `/v1/runs/${first.body.run_id}/cancel`), {
    status: 409,
    body: { code: 'run_finished' },
  });
  t.match(await call(server, 'POST', '/v1/runs/019a9f3c-7c1a-7b44-9d0e-0c4e2f9a1b2c/cancel'), { status: 404 });

  gemini.on('still there', [{ text: 'yes' }]);
  t.equal(
    agentText((await run(server, 'A-1', { action: 'chat', message: 'still there?' })).events),
    'yes',
    'the ticket still works',
  );
});

t.test('lists return pages, newest first', async (t) => {
  const all = (await call(server, 'GET', '/v1/runs?limit=100')).body.items;
  const ids = all.map((item: Run) => item.run_id);
  t.strictSame(ids, ids.toSorted().reverse());
  const collected: string[] = [];
  for (let cursor = ''; ; ) {
    const { body } = await call(server, 'GET', `/v1/runs?limit=2${cursor}`);
    collected.push(...body.items.map((item: Run) => item.run_id));
    if (body.next_cursor === null) break;
    cursor = `&cursor=${body.next_cursor}`;
  }
  t.strictSame(collected, ids);
  t.match(await call(server, 'GET', '/v1/runs?cursor=bogus'), { status: 400 });
  const tickets = (await call(server, 'GET', '/v1/tickets?limit=2')).body;
  t.strictSame(
    tickets.items.map((ticket: { ticket_id: string }) => ticket.ticket_id),
    ['A-3', 'A-2'],
  );
  t.match((await call(server, 'GET', `/v1/tickets?limit=2&cursor=${tickets.next_cursor}`)).body.items, [
    { ticket_id: 'A-1' },
  ]);
  t.match((await call(server, 'GET', '/v1/tickets/A-1/runs?limit=1')).body.items, [{ ticket_id: 'A-1' }]);
});

t.test('GET /v1/agents lists the agents', async (t) => {
  t.match((await call(server, 'GET', '/v1/agents')).body.items, [
    { name: 'gemini', default: true, healthy: true, version: '0.61.0', sandbox: 'bubblewrap' },
  ]);
  t.match(await call(server, 'POST', '/v1/tickets/A-1/runs', { action: 'dev', agent: 'nobody' }), {
    status: 404,
    body: { code: 'agent_not_found' },
  });
});
