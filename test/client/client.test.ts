import { EventEmitter, once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { mock } from 'node:test';
import t, { type Test } from 'tap';
import { createClient, PullwrightError, type RunEvent, unwrap } from '../../client/client.ts';
import { sampleScripts } from '../../standins/sample-ticket.ts';
import { listen } from '../helpers/listen.ts';
import { makeWorld, REPO, startServer } from '../helpers/server.ts';

const RUN = '019a9f3c-7c1a-7b44-9d0e-0c4e2f9a1b2c';

/** Starts a server that plays one answer per request. `resumed` holds the Last-Event-ID of each request. */
async function scripted(t: Test, ...answers: ((response: ServerResponse) => void)[]) {
  const resumed: (string | undefined)[] = [];
  const server = createServer((request: IncomingMessage, response) => {
    resumed.push(request.headers['last-event-id']?.toString());
    const answer = answers.shift();
    if (answer === undefined) response.destroy();
    else answer(response);
  });
  const baseUrl = await listen(t, server);
  return { baseUrl, client: createClient({ baseUrl }), resumed };
}

const frame = (seq: number, type = 'message.delta') =>
  `id: ${seq}\nevent: ${type}\ndata: ${JSON.stringify({ seq, run_id: RUN, time: 'now', type, data: { text: 'x' } })}\n\n`;
const open = (response: ServerResponse) => response.writeHead(200, { 'content-type': 'text/event-stream' });
const refuse =
  (status: number, headers: Record<string, string> = {}) =>
  (response: ServerResponse) =>
    response
      .writeHead(status, { 'content-type': 'application/problem+json', ...headers })
      .end('{"code":"c","detail":"d"}');

async function all(events: AsyncIterable<RunEvent>): Promise<number[]> {
  const seen: number[] = [];
  for await (const { seq } of events) seen.push(seq);
  return seen;
}

t.test('a broken stream resumes after the last event and yields each event once', async (t) => {
  const { client, resumed } = await scripted(
    t,
    // Cut in the middle of a frame.
    (response) => open(response).write(`retry: 1\n\n${frame(1)}${frame(2)}id: 3\nda`, () => response.destroy()),
    refuse(503),
    refuse(429, { 'retry-after': '0' }),
    (response) => response.destroy(),
    // A proxy answers instead of the server.
    (response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>Sign on</h1>'),
    // The stream ends before the run does.
    (response) => open(response).end(frame(3)),
    (response) => open(response).write(frame(4) + frame(5, 'run.succeeded')),
  );
  const states: string[] = [];
  const seen = await all(client.runs.stream(RUN, { onConnection: ({ state }) => states.push(state) }));
  t.same(seen, [1, 2, 3, 4, 5]);
  t.same(resumed, ['0', '2', '2', '2', '2', '2', '3']);
  t.same(states, ['open', 'lost', 'lost', 'lost', 'lost', 'lost', 'open', 'lost', 'open']);
});

t.test('the client does not retry a permanent refusal', async (t) => {
  for (const status of [401, 403, 404, 410]) {
    const { client, resumed } = await scripted(t, refuse(status));
    await t.rejects(all(client.runs.stream(RUN)), { name: 'PullwrightError', status, code: 'c', message: 'd' });
    t.equal(resumed.length, 1);
  }
  const { client } = await scripted(t, (response) => response.writeHead(204).end());
  t.same(await all(client.runs.stream(RUN, { after: 7 })), [], 'the stream ends when the run has no more events');
});

t.test('the client rejects an HTML page of a proxy with not_pullwright', async (t) => {
  const page = (response: ServerResponse) =>
    response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>Sign on</h1>');
  const expected = { name: 'PullwrightError', code: 'not_pullwright', status: 200 };
  const { client, resumed } = await scripted(t, page, page, page);
  await t.rejects(unwrap(client.GET('/v1/tickets')), expected);
  const states: string[] = [];
  await t.rejects(all(client.runs.stream(RUN, { onConnection: ({ state }) => states.push(state) })), expected);
  t.same(states, []);
  t.equal(resumed.length, 2, 'the client does not retry');
});

t.test('the client waits for Retry-After, and an abort ends the wait', async (t) => {
  const { client, resumed } = await scripted(t, refuse(503, { 'retry-after': '3600' }));
  const leaving = new AbortController();
  const onConnection = (connection: { state: string; retryMs?: number }) => {
    if (connection.state !== 'lost') return;
    t.ok((connection.retryMs ?? 0) >= 3_600_000);
    leaving.abort(new Error('enough'));
  };
  await t.rejects(all(client.runs.stream(RUN, { signal: leaving.signal, onConnection })), { message: 'enough' });
  t.equal(resumed.length, 1);
});

t.test('`error` holds a problem of the server, and the client throws any other failure', async (t) => {
  const proxy = (type: string, body: string) => (response: ServerResponse) =>
    response.writeHead(502, { 'content-type': type }).end(body);
  const { client } = await scripted(t, refuse(404), proxy('text/html', '<h1>Bad'), proxy('application/json', '{}'));
  const get = () => client.GET('/v1/tickets/{ticket_id}', { params: { path: { ticket_id: 'NO-1' } } });
  const { error } = await get();
  const detail: string | undefined = error?.detail;
  t.equal(detail, 'd');
  for (const type of ['HTML', 'JSON']) await t.rejects(get(), { code: 'not_pullwright', status: 502 }, type);
});

t.test('the client drops an inactive connection, and comments count as activity', async (t) => {
  // The test moves the clock: a comment arrives after 30 s, and the client drops the connection 45 s later.
  mock.timers.enable({ apis: ['setTimeout'] });
  t.teardown(() => mock.timers.reset());
  const control = new EventEmitter();
  const { baseUrl, resumed } = await scripted(
    t,
    (response) => {
      open(response).write(frame(1));
      control.on('comment', () => response.write(':\n\n'));
    },
    (response) => open(response).end(frame(2, 'run.succeeded')),
  );
  const read = new EventEmitter();
  const observedFetch: typeof fetch = async (input, init) => {
    const response = await fetch(input, init);
    const body = response.body?.pipeThrough(
      new TransformStream({
        transform(chunk, controller) {
          controller.enqueue(chunk);
          setImmediate(() => read.emit('bytes'));
        },
      }),
    );
    return new Response(body ?? null, response);
  };
  const client = createClient({ baseUrl: baseUrl, fetch: observedFetch });
  const events = client.runs.stream(RUN, {
    onConnection: ({ state }) => {
      if (state === 'lost') setImmediate(() => mock.timers.tick(60_000));
    },
  });
  t.match(await events.next(), { value: { seq: 1 } });
  const next = events.next();
  mock.timers.tick(30_000);
  const arrived = once(read, 'bytes');
  control.emit('comment');
  await arrived;
  mock.timers.tick(30_000);
  t.equal(resumed.length, 1, 'the comment kept the connection');
  mock.timers.tick(15_000);
  t.match(await next, { value: { seq: 2 } });
  t.same(resumed, ['0', '1']);
});

t.test('the client works with the real server: runs, changes and refusals', async (t) => {
  const world = await makeWorld(t);
  world.gemini.script(sampleScripts);
  const server = await startServer(t, world);
  const client = createClient({ baseUrl: server.url });
  const leaving = new AbortController();
  const changes = client.changes.stream({ signal: leaving.signal });
  const first = await changes.next();
  t.match(first, { value: { type: 'snapshot', data: { runs: [], queue: { queued: 0, running: 0 } } } });
  const counted: number | false =
    first.done !== true && first.value.type === 'snapshot' && first.value.data.counts.tickets;
  t.equal(counted, 0);

  const ticket = await unwrap(client.POST('/v1/tickets', { body: { ticket_id: 'REL-123', repo_url: REPO } }));
  t.equal(ticket.branch, 'ticket_REL-123');
  const path = { ticket_id: 'REL-123' };
  const run = await unwrap(
    client.POST('/v1/tickets/{ticket_id}/runs', { params: { path }, body: { action: 'chat', message: 'Where?' } }),
  );
  let text = '';
  for await (const event of client.runs.stream(run.run_id)) if (event.type === 'message.delta') text += event.data.text;
  t.match(text, /It comes from `format`/);
  const kinds = new Set<string>();
  for await (const change of changes) {
    kinds.add(change.type);
    if (change.type === 'run.state' && change.data.state === 'succeeded') break;
  }
  t.ok(kinds.has('ticket.created') && kinds.has('run.state'));

  const missing = unwrap(client.GET('/v1/tickets/{ticket_id}', { params: { path: { ticket_id: 'NO-1' } } }));
  const refused = await missing.catch((error: unknown) => error);
  t.ok(refused instanceof PullwrightError && refused.code === 'ticket_not_found' && refused.status === 404);
});
