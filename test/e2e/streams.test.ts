import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { createParser } from 'eventsource-parser';
import { pino } from 'pino';
import t from 'tap';
import type { EventDraft } from '../../schemas/event.ts';
import { buildApp } from '../../src/app.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { createRedactor } from '../../src/redaction/redactor.ts';
import { call } from '../helpers/client.ts';

/** The server runs in this process, so that its buffers can be measured. */
const dir = t.testdir({});
const limits = { MAX_STREAMS_PER_KEY: '1100', RATE_LIMIT_PER_MINUTE: '100000', KEY_RATE_LIMIT_PER_MINUTE: '100000' };
const config = loadConfig(
  { DATA_DIR: `${dir}/data`, TICKETS_ROOT: `${dir}/tickets`, PORT: '0', ...limits },
  `${dir}/.env`,
);
const app = await buildApp({
  config,
  parentEnv: {},
  logger: pino({ level: 'silent' }),
  redactor: createRedactor(),
});
const accepted = new Map<number, Socket>();
app.server.on('connection', (socket) => {
  if (socket.remotePort !== undefined) accepted.set(socket.remotePort, socket);
});
const server = { url: await app.listen({ host: '127.0.0.1', port: 0 }) };
const port = Number(new URL(server.url).port);
t.teardown(() => app.close());

// The dispatcher stops, so that only this test writes the runs.
await app.runs.stop(0);
await app.store.tickets.insert({
  ticket_key: 's-1',
  ticket_id: 'S-1',
  repo_url: 'https://github.com/acme/x',
  title: null,
  description: null,
  branch: 'ticket_S-1',
  base_branch: 'main',
  state: 'ready',
  pull_request_number: null,
  pull_request_url: null,
  created_at: '2026-01-01T00:00:00.000Z',
  updated_at: '2026-01-01T00:00:00.000Z',
});

/** Creates a run whose events this test writes. */
async function makeRun() {
  const limitsOfQueue = { keyId: 'loopback', maxQueued: 10, maxOpenPerKey: 10, estimateWait: () => null };
  const request = { ticketId: 'S-1', action: 'chat', message: 'hello', agent: 'gemini' } as const;
  const { row } = await app.store.runs.enqueue({ ...request, ...limitsOfQueue });
  const { run_id } = row;
  const text = (value: string): EventDraft => ({ type: 'message.delta', data: { text: value } });
  return {
    runId: run_id,
    path: `/v1/runs/${run_id}/events`,
    write: (...values: string[]) => app.eventLog.append(run_id, 0, values.map(text)),
    end: () =>
      app.eventLog.append(
        run_id,
        0,
        [
          {
            type: 'run.succeeded',
            data: { result: {}, usage: { input_tokens: 0, output_tokens: 0, cached_tokens: 0 }, duration_ms: 0 },
          },
        ],
        { state: 'succeeded', finished_at: new Date().toISOString() },
      ),
  };
}

/** Counts the events of a stream to its end and checks their order. */
async function readAll(response: IncomingMessage): Promise<{ seen: number; inOrder: boolean; last: string }> {
  let [seen, inOrder, last] = [0, true, ''];
  const parser = createParser({
    onEvent: ({ id, event }) => {
      seen++;
      inOrder &&= id === String(seen);
      last = event ?? '';
    },
  });
  response.setEncoding('utf8');
  for await (const chunk of response) parser.feed(chunk);
  return { seen, inOrder, last };
}

async function open(path: string, agent?: Agent): Promise<IncomingMessage> {
  const request = get({ port, host: '127.0.0.1', path, ...(agent === undefined ? {} : { agent }) });
  const [response]: IncomingMessage[] = await once(request, 'response');
  if (response === undefined) throw new Error('no response');
  return response;
}

t.test('a thousand streams of one run each get every event once, in order', async (t) => {
  const run = await makeRun();
  const agent = new Agent({ maxSockets: Number.POSITIVE_INFINITY });
  const responses: IncomingMessage[] = [];
  // In batches that fit into the backlog of the server.
  while (responses.length < 1000) {
    responses.push(...(await Promise.all(Array.from({ length: 100 }, () => open(run.path, agent)))));
  }
  t.ok(responses.every(({ statusCode }) => statusCode === 200));
  const reading = Promise.all(responses.map(readAll));
  for (let round = 0; round < 40; round++) await run.write(`${round} one`, `${round} two`, `${round} three`);
  await run.end();
  const results = await reading;
  const expected = { seen: 1 + 40 * 3 + 1, inOrder: true, last: 'run.succeeded' };
  t.equal(results.length, 1000);
  t.strictSame([...new Set(results.map((result) => JSON.stringify(result)))], [JSON.stringify(expected)]);
});

t.test('the server buffers little for twenty stalled clients of a log of 200 MB', async (t) => {
  const run = await makeRun();
  const megabytes = 200;
  const piece = 'x'.repeat(16_000);
  for (let batch = 0; batch < megabytes / 4; batch++) await run.write(...Array.from({ length: 250 }, () => piece));
  await run.end();

  // Counts the reads past the middle of the log, because a stream in front of a socket could buffer, too.
  const read = app.eventLog.read;
  let readsPastMiddle = 0;
  app.eventLog.read = async (runId, after, limit) => {
    const events = await read(runId, after, limit);
    const middle = (megabytes / 8) * 250;
    if (after <= middle && (events.at(-1)?.seq ?? 0) > middle) readsPastMiddle++;
    return events;
  };
  t.teardown(() => {
    app.eventLog.read = read;
  });
  const before = process.memoryUsage().rss;
  const stalled = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const socket = connect(port, '127.0.0.1');
      await once(socket, 'connect');
      t.teardown(() => socket.destroy());
      // The client reads nothing: data fills the buffers of the kernel, then those of the server.
      socket.pause();
      socket.write(`GET ${run.path} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
      return socket.localPort ?? 0;
    }),
  );
  // One client reads the whole log, which gives the others time to fill their buffers.
  const whole = await readAll(await open(run.path));
  t.strictSame(whole, { seen: 1 + (megabytes / 4) * 250 + 1, inOrder: true, last: 'run.succeeded' });

  const sockets = stalled.map((of) => accepted.get(of)).filter((socket) => socket !== undefined);
  t.equal(sockets.length, 20);
  const full = sockets.filter(({ writableNeedDrain }) => writableNeedDrain).length;
  t.equal(full, 20, 'each socket is full');
  const buffered = sockets.reduce((sum, { writableLength }) => sum + writableLength, 0);
  const sent = sockets.reduce((sum, { bytesWritten }) => sum + bytesWritten, 0);
  t.comment(
    `${buffered} bytes held and ${sent} sent for 20 clients; ${process.memoryUsage().rss - before} bytes more of RSS`,
  );
  // The reading client may pass it in a few reads.
  t.ok(
    readsPastMiddle < 20,
    `the middle of the log was passed ${readsPastMiddle} times, so not by the stalled clients`,
  );
  t.ok(buffered < 20 * 1_000_000, `${buffered} bytes are held for 20 clients`);
  t.ok(sent < 20 * 20_000_000, `${sent} bytes have left the log for 20 clients`);
});

t.test('a stream resumes only after the id of an event of its run', async (t) => {
  const run = await makeRun();
  await run.write('one', 'two', 'three');
  const ask = (id: string, path = run.path) => call(server, 'GET', path, undefined, { 'last-event-id': id });
  for (const id of ['5', '999999999999999', 'x', '-1', '1.5', '1e3', '0x1', '9999999999999999999']) {
    t.match(await ask(id), { status: 400, body: { code: 'cursor_unknown', remedy: /beginning/ } }, id);
  }
  t.match(await call(server, 'GET', `${run.path}?after=5`), { status: 400, body: { code: 'cursor_unknown' } });

  const head = await fetch(new URL(run.path, server.url), { method: 'HEAD' });
  t.equal(head.status, 200, 'a HEAD of an open stream completes');
  t.match(Object.fromEntries(head.headers), {
    'content-type': /^text\/event-stream/,
    'cache-control': 'no-store, no-transform',
    'x-accel-buffering': 'no',
  });
  t.equal(
    (await fetch(new URL(run.path, server.url), { method: 'HEAD', headers: { 'last-event-id': '9' } })).status,
    400,
  );

  await run.end();
  t.equal((await ask('5')).status, 204);
  t.match((await ask('3')).body, /^retry: 1000\n\nid: 4\n.*id: 5\nevent: run\.succeeded\n/s);
});
