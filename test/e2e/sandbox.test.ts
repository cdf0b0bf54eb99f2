import { readFileSync } from 'node:fs';
import t from 'tap';
import { call, events, run } from '../helpers/client.ts';
import { makeWorld, REPO, startServerProcess } from '../helpers/server.ts';
import { descendants } from '../sandbox/process-tree.ts';

const world = await makeWorld(t);
const { gemini } = world;
const KEY = world.env.GEMINI_API_KEY ?? '';
const readTurn = {
  calls: [{ name: 'read_file', args: { file_path: 'package.json' } }],
  usage: { input: 400, output: 100 },
};

const NEAR_ITS_LIMIT = /Note from the server: this run nears its limit/;

t.test('the server logs its sandbox, and a run fails when its budget is spent', async (t) => {
  const server = await startServerProcess(t, world, {
    MAX_TOKENS_PER_RUN: '900',
    EGRESS_ALLOW: 'registry.example.org',
  });
  t.match(await server.logged(({ msg }) => /^sandbox self-test/.test(msg ?? '')), {
    msg: 'sandbox self-test passed',
    sandbox: 'bubblewrap',
    egress: ['registry.example.org'],
  });
  const limits = await server.logged(({ msg }) => /a cgroup limits|limited per process/.test(msg ?? ''));
  t.match(limits, { memory_mb: 4096, ...(limits.cgroup === undefined ? { remedy: /Delegate/ } : { level: 30 }) });
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'B-1', repo_url: REPO });
  gemini.on('look twice', [readTurn]);
  // The agent ignores the hint to finish.
  gemini.on(NEAR_ITS_LIMIT, [readTurn, { text: 'Twice.' }]);
  const spent = await run(server, 'B-1', { action: 'chat', message: 'look twice' });
  const usage = { input_tokens: 800, output_tokens: 200, cached_tokens: 0 };
  t.match(spent.run, {
    state: 'failed',
    usage,
    error: {
      code: 'budget_exceeded',
      detail: /1000 tokens used; MAX_TOKENS_PER_RUN allows 900/,
      remedy: /Raise the limit that the detail names/,
    },
  });
  t.match(spent.events.at(-1), { type: 'run.failed', data: { usage } });
  const counts = spent.events.filter(({ type }) => type === 'usage.updated');
  t.match(
    counts,
    [{ data: { input_tokens: 400, output_tokens: 100 } }, { data: usage }],
    'usage is reported during the run',
  );

  gemini.on('look once', [readTurn]);
  gemini.on(NEAR_ITS_LIMIT, [{ text: 'Once.', usage: { input: 1, output: 1 } }]);
  const next = await run(server, 'B-1', { action: 'chat', message: 'look once' });
  t.match(
    next.run,
    { state: 'succeeded', usage: { input_tokens: 401, output_tokens: 101 } },
    'the next run has its own budget',
  );

  gemini.on('wait', [{ text: 'Well', usage: { input: 7 }, hang: true }]);
  const { body } = await call(server, 'POST', '/v1/tickets/B-1/runs', { action: 'chat', message: 'wait' });
  await events(server, body.run_id, { until: ({ type }) => type === 'message.delta' });
  await call(server, 'POST', `/v1/runs/${body.run_id}/cancel`);
  const seen = await events(server, body.run_id);
  t.match(seen.at(-1), { type: 'run.canceled', data: { usage: { input_tokens: 7, output_tokens: 1 } } });
  await server.stop();
});

t.test('the server logs SANDBOX=none and still keeps the model key from agents', async (t) => {
  const server = await startServerProcess(t, world, { SANDBOX: 'none' });
  t.match(await server.logged(({ msg }) => /SANDBOX=none/.test(msg ?? '')), { level: 40, sandbox: 'none' });
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'N-1', repo_url: REPO });
  gemini.on('hold on', [{ hang: true }, { text: 'Here.' }]);
  const { body } = await call(server, 'POST', '/v1/tickets/N-1/runs', { action: 'chat', message: 'hold on' });
  const request = await gemini.waitFor(({ prompt, state }) => prompt.includes('hold on') && state === 'held');
  t.equal(request.key, KEY);
  const processes = descendants(server.process.pid ?? 0);
  t.ok(processes.length > 0);
  for (const pid of processes) t.notMatch(readFileSync(`/proc/${pid}/environ`, 'utf8'), KEY);
  gemini.release();
  const seen = await events(server, body.run_id);
  t.match(
    seen.find(({ type }) => type === 'log'),
    { data: { level: 'warn', text: /^SANDBOX=none/ } },
  );
  t.equal(seen.at(-1)?.type, 'run.succeeded');
  t.match(await server.logged(({ msg }) => msg === 'run finished'), { sandbox: 'none', run_id: body.run_id });
});

t.test('the runs of a key share MAX_TOKENS_PER_KEY_PER_DAY', async (t) => {
  const world = await makeWorld(t);
  const server = await startServerProcess(t, world, { MAX_TOKENS_PER_KEY_PER_DAY: '600' });
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'D-1', repo_url: REPO });
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'D-2', repo_url: REPO });
  world.gemini.on('spend most', [{ text: 'Spent.', usage: { input: 500, output: 50 } }]);
  world.gemini.on('spend the rest', [{ text: 'Gone.', usage: { input: 100, output: 10 } }]);
  t.equal((await run(server, 'D-1', { action: 'chat', message: 'spend most' })).run.state, 'succeeded');
  t.equal((await run(server, 'D-2', { action: 'chat', message: 'spend the rest' })).run.state, 'succeeded');
  const { run: refused } = await run(server, 'D-1', { action: 'chat', message: 'once more' });
  t.match(refused, {
    state: 'failed',
    error: { code: 'budget_exceeded', detail: /660 tokens used; MAX_TOKENS_PER_KEY_PER_DAY allows 600/ },
  });
});

t.test('deleting runs does not reset the daily usage of a key', async (t) => {
  const world = await makeWorld(t);
  const server = await startServerProcess(t, world, {
    MAX_TOKENS_PER_KEY_PER_DAY: '1000',
    RETAIN_RUNS_PER_TICKET: '1',
  });
  const create = (ticket_id: string) => call(server, 'POST', '/v1/tickets', { ticket_id, repo_url: REPO });
  const chat = async (ticketId: string, message: string) =>
    (await run(server, ticketId, { action: 'chat', message })).run;
  world.gemini.on(/spend a bit|some more/, [{ text: 'Spent.', usage: { input: 400, output: 50 } }]);
  world.gemini.on('spend and stay', [{ text: 'Spent.', usage: { input: 100, output: 10 } }]);
  await create('D-1');
  t.equal((await chat('D-1', 'spend a bit')).state, 'succeeded');
  t.equal((await chat('D-1', 'spend and stay')).state, 'succeeded');
  t.match((await call(server, 'POST', '/v1/housekeeping')).body, { runs: 1 }, 'one run is over the retention limit');
  t.equal((await call(server, 'DELETE', '/v1/tickets/D-1')).status, 204, 'the other run is deleted with its ticket');
  await create('D-1');
  t.equal((await chat('D-1', 'some more')).state, 'succeeded');
  t.match((await chat('D-1', 'once more')).error, {
    code: 'budget_exceeded',
    detail: /1010 tokens used; MAX_TOKENS_PER_KEY_PER_DAY allows 1000/,
  });
});
