import t from 'tap';
import type { EventDraft } from '../../../schemas/event.ts';
import { createEventLog } from '../../../src/events/event-log.ts';
import { createRedactor } from '../../../src/redaction/redactor.ts';
import { openStore } from '../../../src/store/open-store.ts';

const SECRET = 'ghp_0123456789abcdefghijklmnopqrstuvwxyz';
const message = (text: string): EventDraft => ({ type: 'message.delta', data: { text } });

/** Opens an event log with running runs. */
async function makeLog(dir: string, runs: number) {
  const store = await openStore(dir);
  const now = new Date().toISOString();
  const claimed: string[] = [];
  const log = createEventLog(store, createRedactor([SECRET]));
  for (let index = 0; index < runs; index += 1) {
    const ticketId = `T-${index}`;
    await store.tickets.insert({
      ticket_key: ticketId.toLowerCase(),
      ticket_id: ticketId,
      repo_url: 'https://github.com/acme/widgets',
      branch: `ticket_${ticketId}`,
      base_branch: 'main',
      state: 'ready',
      created_at: now,
      updated_at: now,
    });
    await store.runs.enqueue({
      ticketId,
      action: 'chat',
      agent: 'gemini',
      keyId: 'loopback',
      maxOpenPerKey: 10,
      maxQueued: 9,
      estimateWait: () => null,
    });
    const row = await store.runs.claim();
    if (row) claimed.push(row.run_id);
  }
  return { store, log, runs: claimed };
}

t.test('the event log redacts a secret in events and rows when it is split over several appends', async (t) => {
  const { store, log, runs } = await makeLog(t.testdir(), 2);
  t.teardown(() => store.close());
  const [one = '', other = ''] = runs;
  await log.append(one, 1, [message(`key: ${SECRET.slice(0, 9)}`)]);
  await log.append(other, 1, [message(SECRET.slice(9))]);
  await log.append(one, 1, [], { progress: JSON.stringify({ agent: { text: `"${SECRET}"` } }) });
  await log.append(one, 1, [message(`${SECRET.slice(9)}, and g`)]);
  const usage = { input_tokens: 0, output_tokens: 0, cached_tokens: 0 };
  const error = { code: 'internal', title: SECRET, detail: SECRET, remedy: '', retryable: true };
  await log.append(one, 1, [{ type: 'run.failed', data: { error, usage, duration_ms: 1 } }], {
    state: 'failed',
    error: JSON.stringify(error),
    result: JSON.stringify({ text: SECRET }),
  });
  const events = await log.read(one, 2, 100);
  t.strictSame(
    events.map((event) => (event.type === 'message.delta' ? event.data.text : event.type)),
    ['key: ', '[redacted], and ', 'g', 'run.failed'],
    'the start of a possible secret is released at the end',
  );
  t.strictSame(
    events.map(({ seq }) => seq),
    [3, 4, 5, 6],
    'the sequence numbers have no gap',
  );
  t.notMatch(JSON.stringify([events, await store.runs.get(one)]), SECRET);
  t.match(JSON.parse((await store.runs.get(one))?.progress ?? ''), { agent: { text: '"[redacted]"' } });
  t.match(await log.read(other, 2, 100), [{ data: { text: SECRET.slice(9) } }], 'runs are redacted independently');
});

t.test('observers receive the events of one transaction in order', async (t) => {
  const { store, log, runs } = await makeLog(t.testdir(), 1);
  t.teardown(() => store.close());
  const [one = ''] = runs;
  const observed: string[] = [];
  log.observe((_runId, events) => observed.push(...events.map(({ type }) => type)));
  const again: EventDraft = { type: 'run.resumed', data: { cause: 'agent crash', attempt: 2 } };
  const [, row] = await Promise.all([log.append(one, 1, [again], { state: 'queued' }), store.runs.claim()]);
  t.match(row, { run_id: one, attempt: 2 });
  t.strictSame(observed, ['run.resumed', 'run.started']);
});

t.test('the event log keeps held text when an append fails', async (t) => {
  const { store, log, runs } = await makeLog(t.testdir(), 1);
  t.teardown(() => store.close());
  const [one = ''] = runs;
  const end: EventDraft = { type: 'log', data: { level: 'info', text: 'the end' } };
  await log.append(one, 1, [message(`key: ${SECRET.slice(0, 9)}`)]);
  await t.rejects(log.append(one, 2, [message(SECRET.slice(9)), end]), { name: 'FencedError' });
  await log.append(one, 1, [message(`${SECRET.slice(9)}, and g`)]);
  await t.rejects(log.append(one, 2, [end]), { name: 'FencedError' });
  await log.append(one, 1, [end]);
  t.strictSame(
    (await log.read(one, 2, 100)).map((event) => (event.type === 'message.delta' ? event.data.text : event.type)),
    ['key: ', '[redacted], and ', 'g', 'log'],
  );
});
