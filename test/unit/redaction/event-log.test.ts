import t from 'tap';
import type { EventDraft } from '../../../schemas/event.ts';
import { createEventLog } from '../../../src/events/event-log.ts';
import { createRedactor } from '../../../src/redaction/redactor.ts';
import { openStore } from '../../../src/store/open-store.ts';

const SECRET = 'ghp_0123456789abcdefghijklmnopqrstuvwxyz';
const say = (text: string): EventDraft => ({ type: 'message.delta', data: { text } });

/** A log, and runs that are under way. */
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

t.test('a secret that comes in several appends is in no event of the run, nor in its row', async (t) => {
  const { store, log, runs } = await makeLog(t.testdir(), 2);
  t.teardown(() => store.close());
  const [one = '', other = ''] = runs;
  await log.append(one, 1, [say(`key: ${SECRET.slice(0, 9)}`)]);
  await log.append(other, 1, [say(SECRET.slice(9))]);
  await log.append(one, 1, [], { progress: JSON.stringify({ agent: { text: `"${SECRET}"` } }) });
  await log.append(one, 1, [say(`${SECRET.slice(9)}, and g`)]);
  const usage = { input_tokens: 0, output_tokens: 0, cached_tokens: 0 };
  const error = { code: 'internal', title: SECRET, detail: SECRET, remedy: '', retryable: true };
  await log.append(one, 1, [{ type: 'run.failed', data: { error, usage, duration_ms: 1 } }], {
    state: 'failed',
    error: JSON.stringify(error),
    result: JSON.stringify({ text: SECRET }),
  });
  const told = await log.read(one, 2, 100);
  t.strictSame(
    told.map((event) => (event.type === 'message.delta' ? event.data.text : event.type)),
    ['key: ', '[redacted], and ', 'g', 'run.failed'],
    'and what only looked like the beginning of one is told at the end',
  );
  t.strictSame(
    told.map(({ seq }) => seq),
    [3, 4, 5, 6],
    'the numbers have no gap',
  );
  t.notMatch(JSON.stringify([told, await store.runs.get(one)]), SECRET);
  t.match(JSON.parse((await store.runs.get(one))?.progress ?? ''), { agent: { text: '"[redacted]"' } });
  t.match(
    await log.read(other, 2, 100),
    [{ data: { text: SECRET.slice(9) } }],
    'runs have nothing to do with each other',
  );
});

t.test('events that one transaction wrote are shown in their order', async (t) => {
  const { store, log, runs } = await makeLog(t.testdir(), 1);
  t.teardown(() => store.close());
  const [one = ''] = runs;
  const shown: string[] = [];
  log.observe((_runId, events) => shown.push(...events.map(({ type }) => type)));
  const again: EventDraft = { type: 'run.resumed', data: { cause: 'agent crash', attempt: 2 } };
  const [, row] = await Promise.all([log.append(one, 1, [again], { state: 'queued' }), store.runs.claim()]);
  t.match(row, { run_id: one, attempt: 2 });
  t.strictSame(shown, ['run.resumed', 'run.started']);
});

t.test('what is held of a message is not lost when an append fails', async (t) => {
  const { store, log, runs } = await makeLog(t.testdir(), 1);
  t.teardown(() => store.close());
  const [one = ''] = runs;
  const end: EventDraft = { type: 'log', data: { level: 'info', text: 'the end' } };
  await log.append(one, 1, [say(`key: ${SECRET.slice(0, 9)}`)]);
  await t.rejects(log.append(one, 2, [say(SECRET.slice(9)), end]), { name: 'FencedError' });
  await log.append(one, 1, [say(`${SECRET.slice(9)}, and g`)]);
  await t.rejects(log.append(one, 2, [end]), { name: 'FencedError' });
  await log.append(one, 1, [end]);
  t.strictSame(
    (await log.read(one, 2, 100)).map((event) => (event.type === 'message.delta' ? event.data.text : event.type)),
    ['key: ', '[redacted], and ', 'g', 'log'],
  );
});
