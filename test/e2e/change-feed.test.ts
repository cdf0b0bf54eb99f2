import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { EventSourceMessage } from 'eventsource-parser';
import t from 'tap';
import type { Run } from '../../schemas/run.ts';
import { call, events, frames, run } from '../helpers/client.ts';
import { ADMIN_KEY, asAdmin, makeKey } from '../helpers/keys.ts';
import { makeWorld, REPO, startServerProcess } from '../helpers/server.ts';

const OTHER = 'https://github.com/acme/other';
const SAMPLE = fileURLToPath(new URL('../../standins/sample', import.meta.url));

const world = await makeWorld(t);
const { gemini, github } = world;
await github.addRepository('acme/other', { from: SAMPLE });
const settings = { API_KEY: ADMIN_KEY };
let server = await startServerProcess(t, world, settings);

const held = (text: string) => gemini.waitFor((request) => request.prompt.includes(text) && request.state === 'held');
const create = (ticket_id: string, repo_url = REPO) =>
  call(server, 'POST', '/v1/tickets', { ticket_id, repo_url }, asAdmin);

async function killAndRestart(): Promise<void> {
  await server.stop('SIGKILL');
  server = await startServerProcess(t, world, settings);
}

/** Opens the change feed. `until` reads up to the first frame that matches, and returns all frames read. */
async function watch(headers: Record<string, string> = asAdmin, lastId?: string) {
  const response = await fetch(new URL('/v1/events', server.url), {
    headers: { ...headers, ...(lastId === undefined ? {} : { 'last-event-id': lastId }) },
  });
  const reader = frames(response);
  t.teardown(() => reader.return(undefined));
  const until = async (matches: (frame: EventSourceMessage) => boolean) => {
    const seen: EventSourceMessage[] = [];
    for (;;) {
      const { value, done } = await reader.next();
      if (done === true || value === undefined) throw new Error(`the feed ended after ${JSON.stringify(seen)}`);
      seen.push(value);
      if (matches(value)) return seen;
    }
  };
  return { response, until, close: () => reader.return(undefined) };
}
const isTicket = (type: string, id: string) => (frame: EventSourceMessage) =>
  frame.event === type && JSON.parse(frame.data).ticket_id === id;
const isRun = (id: string, state: string) => (frame: EventSourceMessage) =>
  frame.event === 'run.state' && JSON.parse(frame.data).run_id === id && JSON.parse(frame.data).state === state;

t.test('the change feed starts with a snapshot and continues with changes', async (t) => {
  await create('F-1');
  gemini.on('stay a while', [{ hang: true }, { text: 'done' }]);
  const start = () =>
    call<Run>(server, 'POST', '/v1/tickets/F-1/runs', { action: 'chat', message: 'stay a while' }, asAdmin);
  const first = await start();
  const second = await start();
  await held('stay a while');

  const feed = await watch();
  t.match(Object.fromEntries(feed.response.headers), {
    'content-type': /^text\/event-stream/,
    'cache-control': 'no-store, no-transform',
    'x-accel-buffering': 'no',
  });
  const [snapshot] = await feed.until(() => true);
  t.equal(snapshot?.event, 'snapshot');
  t.match(JSON.parse(snapshot?.data ?? ''), {
    runs: [
      { run_id: first.body.run_id, state: 'running' },
      { run_id: second.body.run_id, state: 'queued', queue_position: 1 },
    ],
    queue: { queued: 1, running: 1 },
    counts: { tickets: 1, runs: { queued: 1, running: 1 } },
  });

  gemini.release();
  const ended = await feed.until(isRun(second.body.run_id, 'succeeded'));
  t.match(JSON.parse(ended.at(-1)?.data ?? ''), { ticket_id: 'F-1', result: { text: String } });
  t.ok(ended.some(isRun(first.body.run_id, 'succeeded')));
  t.strictSame([...new Set(ended.map(({ event }) => event))], ['run.state'], 'the feed has no events of the agent');

  await create('F-2');
  // A quick creation arrives in one frame.
  const created = await feed.until(({ data }) => /"ticket_id":"F-2".*"state":"ready"/.test(data));
  t.match(JSON.parse(created.find(isTicket('ticket.created', 'F-2'))?.data ?? ''), { repo_url: REPO });
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'F-2', repo_url: REPO, title: 'Named' }, asAdmin);
  await feed.until((frame) => frame.event === 'ticket.updated' && JSON.parse(frame.data).title === 'Named');
  await call(server, 'DELETE', '/v1/tickets/F-2', undefined, asAdmin);
  await feed.until(isTicket('ticket.deleted', 'F-2'));
  t.pass('the feed reports creation, update and deletion of a ticket');
  await feed.close();
});

t.test('the feed resumes after a known id and sends a snapshot after any other', async (t) => {
  const feed = await watch();
  await feed.until(({ event }) => event === 'snapshot');
  await create('F-3');
  const id = (await feed.until(isTicket('ticket.created', 'F-3'))).at(-1)?.id ?? '';
  await feed.close();
  await create('F-4');
  const again = await watch(asAdmin, id);
  const missed = await again.until(isTicket('ticket.created', 'F-4'));
  t.notOk(missed.some(({ event }) => event === 'snapshot'));
  const position = Number(id.split('-')[1]);
  t.strictSame(
    missed.map((frame) => frame.id),
    missed.map((_, index) => `${id.split('-')[0]}-${position + 1 + index}`),
    'each change once, in order',
  );
  for (const unknown of ['nonsense', `${id.split('-')[0]}-999999`, '000000000000-1']) {
    const fresh = await watch(asAdmin, unknown);
    t.match(await fresh.until(() => true), [{ event: 'snapshot' }], unknown);
    await fresh.close();
  }

  await again.close();

  await killAndRestart();
  const [snapshot] = await (await watch(asAdmin, missed.at(-1)?.id)).until(() => true);
  t.equal(snapshot?.event, 'snapshot', 'a restart invalidates ids');
  t.match(JSON.parse(snapshot?.data ?? ''), { runs: [], counts: { tickets: 3, runs: { succeeded: 2 } } });
});

t.test('the feed of a key limited to repositories has no changes of others', async (t) => {
  gemini.on('elsewhere', [{ text: 'there' }]);
  await create('O-1', OTHER);
  const { run: other } = await run(server, 'O-1', { action: 'chat', message: 'elsewhere' }, asAdmin);
  const { headers } = await makeKey(server, { scopes: ['read'], repositories: ['acme/duration'] });
  const feed = await watch(headers);
  const [snapshot] = await feed.until(() => true);
  t.match(JSON.parse(snapshot?.data ?? ''), { counts: { tickets: 3, runs: { succeeded: 2 } } });
  await run(server, 'O-1', { action: 'chat', message: 'elsewhere' }, asAdmin);
  await create('O-2', OTHER);
  await create('F-5');
  const received = await feed.until(isTicket('ticket.created', 'F-5'));
  t.notMatch(JSON.stringify(received), /O-1|O-2|acme\/other/);
  t.notMatch(JSON.stringify(received), new RegExp(other.run_id));
});

t.test('a stalled reader does not delay other readers or runs', async (t) => {
  const { hostname, port } = new URL(server.url);
  const stalled = connect(Number(port), hostname);
  await once(stalled, 'connect');
  stalled.pause();
  stalled.write(`GET /v1/events HTTP/1.1\r\nhost: localhost\r\nx-api-key: ${ADMIN_KEY}\r\n\r\n`);
  t.teardown(() => stalled.destroy());
  const feed = await watch();
  await feed.until(({ event }) => event === 'snapshot');
  gemini.on('while one sleeps', [{ text: 'awake' }]);
  const { run: last } = await run(server, 'F-1', { action: 'chat', message: 'while one sleeps' }, asAdmin);
  await feed.until(isRun(last.run_id, last.state));
  t.equal((await events(server, last.run_id, { headers: asAdmin })).at(-1)?.run_id, last.run_id);
});

t.test('the feed never shows state `deleting` for a ticket whose deletion is refused', async (t) => {
  const feed = await watch();
  await create('F-8');
  await feed.until(({ event, data }) => event !== 'snapshot' && /"ticket_id":"F-8".*"state":"ready"/.test(data));
  writeFileSync(join(world.dir, 'tickets', 'F-8', 'mine.txt'), 'not pushed');
  // A server that is killed in that state would finish the deletion at its next start.
  t.match(await call(server, 'DELETE', '/v1/tickets/F-8', undefined, asAdmin), {
    status: 409,
    body: { code: 'unpushed_work' },
  });
  await create('F-9');
  const received = await feed.until(isTicket('ticket.created', 'F-9'));
  t.strictSame(
    received.filter(({ data }) => JSON.parse(data).ticket_id === 'F-8'),
    [],
  );
  await feed.close();
});

t.test('the feed reports the progress of a checkout', async (t) => {
  await github.addRepository('acme/wide', { empty: true });
  const files = Array.from({ length: 30_000 }, (_, n) => `M 100644 :1 ${n % 100}/${n}\n`).join('');
  const head = 'commit refs/heads/main\ncommitter S <s@x> 1767600000 +0000\ndata 1\nx\n';
  execFileSync('git', ['--git-dir', join(world.dir, 'gh', 'acme', 'wide.git'), 'fast-import', '--quiet'], {
    input: `blob\nmark :1\ndata 0\n\n${head}${files}\n`,
  });
  const feed = await watch();
  const creating = create('WIDE-1', 'https://github.com/acme/wide');
  const isProgress = (frame: EventSourceMessage) => JSON.parse(frame.data).progress !== undefined;
  const received = (await feed.until(isProgress)).at(-1);
  t.match(JSON.parse(received?.data ?? ''), {
    ticket_id: 'WIDE-1',
    state: 'creating',
    progress: { stage: String, percent: Number },
  });
  t.notOk('progress' in (await creating).body);
  await feed.close();
});

t.test('HEAD opens no stream, and a stopping server closes the feed', async (t) => {
  const head = await fetch(new URL('/v1/events', server.url), { method: 'HEAD', headers: asAdmin });
  t.equal(head.status, 200);
  t.match(head.headers.get('content-type'), /^text\/event-stream/);
  const feed = await watch();
  await feed.until(() => true);
  const ended = t.rejects(
    feed.until(() => false),
    /the feed ended/,
  );
  await server.stop();
  await ended;
});
