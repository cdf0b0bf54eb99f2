import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import SQLite from 'better-sqlite3';
import t from 'tap';
import type { RunEvent } from '../../schemas/event.ts';
import type { Run } from '../../schemas/run.ts';
import type { UsageReport } from '../../schemas/usage.ts';
import { call, events, frames, run } from '../helpers/client.ts';
import { processesIn } from '../helpers/processes.ts';
import { makeWorld, REPO, startServerProcess } from '../helpers/server.ts';

const world = await makeWorld(t);
const { gemini, github } = world;
const settings = { RUN_MAX_ATTEMPTS: '20' };
const held = (text: string) => gemini.waitFor((request) => request.prompt.includes(text) && request.state === 'held');
const PLAN = '# Notes\n\n## Goal\n\nNotes.';
const write = (content: string) => ({ calls: [{ name: 'write_file', args: { file_path: 'NOTES.md', content } }] });
const count = (log: readonly RunEvent[], type: string) => log.filter((event) => event.type === type).length;
const commitsOn = (branch: string) =>
  execFileSync('git', ['--git-dir', join(world.dir, 'gh/acme/duration.git'), 'log', '--format=%H', `main..${branch}`], {
    encoding: 'utf8',
  })
    .split('\n')
    .filter((line) => line !== '');

/** Removes an event of a run and all later writes, as a crash just before the event would. */
function truncateFrom(runId: string, type: RunEvent['type'], progressKeys: readonly string[], planToo = false): void {
  const db = new SQLite(join(world.dir, 'data/pullwright.db'));
  const { seq } = db
    .prepare<[string, string], { seq: number }>('select min(seq) as seq from events where run_id = ? and type = ?')
    .get(runId, type) ?? { seq: 0 };
  if (seq === 0) throw new Error(`the run has no event ${type}`);
  const paths = progressKeys.map((key) => `, '$.${key}'`).join('');
  db.prepare('delete from events where run_id = ? and seq >= ?').run(runId, seq);
  db.prepare(
    `update runs set last_seq = ?, state = 'running', finished_at = null, result = null, progress = json_remove(progress, '$.none'${paths})
     ${planToo ? ', plan_version = null' : ''} where run_id = ?`,
  ).run(seq - 1, runId);
  db.close();
}

t.test('the next attempt completes the work after kill -9 during a write of the agent', async (t) => {
  let server = await startServerProcess(t, world, settings);
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'R-1', repo_url: REPO });
  gemini.on(/Action: make_plan.*R-1/s, [{ text: PLAN }]);
  gemini.on(/Action: dev.*R-1/s, [write('half\n'), { hang: true }]);
  const started = await call<Run>(server, 'POST', '/v1/tickets/R-1/runs', { action: 'dev' });
  await gemini.waitFor((request) => request.prompt.includes('Action: dev') && request.state === 'held');
  await server.stop('SIGKILL');

  gemini.on(/Action: dev.*cut short/s, [write('whole\n'), { text: 'Wrote them.' }]);
  server = await startServerProcess(t, world, settings);
  const log = await events(server, started.body.run_id);
  t.match(log.at(-1), { type: 'run.succeeded', data: { result: { plan_version: 1, files_changed: 1 } } });
  t.equal(count(log, 'plan.saved'), 1, 'one plan');
  t.match(
    log.filter((event) => event.type === 'run.resumed'),
    [{ data: { cause: 'server restart', attempt: 2 } }],
  );
  const prompts = gemini.requests.map((request) => request.prompt).filter((prompt) => prompt.includes('Action: dev'));
  t.notMatch(prompts[0], 'cut short');
  t.match(prompts.at(-1), /earlier attempt .* cut short .* unfinished work/);
  t.match((await call(server, 'GET', '/v1/tickets/R-1/plan')).body, { version: 1 });
  await server.stop();
});

t.test('`dev` repeats no step after a crash between any two of its records', async (t) => {
  let server = await startServerProcess(t, world, settings);
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'R-2', repo_url: REPO });
  gemini.on(/Action: make_plan.*R-2/s, [{ text: PLAN }]);
  gemini.on(/Action: dev.*R-2/s, [write('notes\n'), { text: 'Wrote them.' }]);
  const { run: first } = await run(server, 'R-2', { action: 'dev' });
  t.match(first, { state: 'succeeded', attempt: 1 });
  const turns = gemini.requests.length;
  const commits = commitsOn('ticket_R-2');
  t.equal(commits.length, 1);

  const cuts: [RunEvent['type'], string[]][] = [
    ['run.succeeded', []],
    ['pull_request.opened', ['pull']],
    ['branch.pushed', ['pull', 'push']],
    ['commit.created', ['pull', 'push', 'commit']],
  ];
  for (const [type, progressKeys] of cuts) {
    await server.stop('SIGKILL');
    truncateFrom(first.run_id, type, progressKeys);
    server = await startServerProcess(t, world, settings);
    const log = await events(server, first.run_id);
    t.match(log.at(-1), { type: 'run.succeeded', data: { result: { commits } } }, `cut before ${type}`);
    t.equal(count(log, 'commit.created'), 1);
    t.equal(count(log, 'branch.pushed'), 1);
    t.equal(count(log, 'pull_request.opened') + count(log, 'pull_request.updated'), 1);
    t.strictSame(commitsOn('ticket_R-2'), commits);
    t.equal(github.pulls('acme/duration').filter((pull) => pull.head === 'ticket_R-2').length, 1);
    t.match((await call(server, 'GET', '/v1/tickets/R-2')).body, { pull_request: { number: Number } });
  }
  t.equal(gemini.requests.length, turns, 'the model got no further request');
  await server.stop();
});

t.test('`make_plan` saves one version when a crash comes before its event', async (t) => {
  let server = await startServerProcess(t, world, settings);
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'R-3', repo_url: REPO });
  gemini.on(/Action: make_plan.*R-3/s, [{ text: PLAN }]);
  const { run: first } = await run(server, 'R-3', { action: 'make_plan' });
  for (const [type, planToo] of [
    ['run.succeeded', false],
    ['plan.saved', true],
  ] as const) {
    await server.stop('SIGKILL');
    truncateFrom(first.run_id, type, [], planToo);
    server = await startServerProcess(t, world, settings);
    const log = await events(server, first.run_id);
    t.match(log.at(-1), { type: 'run.succeeded', data: { result: { plan_version: 1 } } }, `cut before ${type}`);
    t.equal(count(log, 'plan.saved'), 1);
    t.match((await call(server, 'GET', '/v1/tickets/R-3/plan')).body, { version: 1 });
  }
  await server.stop();
});

t.test('a run restarts a killed agent up to RUN_MAX_ATTEMPTS times, and /command reports it', async (t) => {
  const server = await startServerProcess(t, world, { RUN_MAX_ATTEMPTS: '2' });
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'R-4', repo_url: REPO });
  gemini.on('talk to me', [{ text: 'I was ' }, { hang: true }]);
  gemini.on('talk to me', [{ hang: true }, { text: 'fine' }]);
  gemini.on('hopeless', [{ hang: true }]);
  const killAgent = () => {
    for (const { pid, command } of processesIn(join(world.dir, 'tickets/R-4'))) {
      if (command.startsWith('bwrap')) process.kill(pid, 'SIGKILL');
    }
  };
  const response = await fetch(new URL('/command', server.url), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ticket_id: 'R-4', action: 'chat', message: 'talk to me' }),
  });
  await held('talk to me');
  killAgent();
  const lines: string[] = [];
  for await (const frame of frames(response)) lines.push(frame.data);
  t.strictSame(lines, ['[resumed] attempt 2 after agent crash', 'fine', '__END__']);
  const { body } = await call(server, 'GET', `/v1/runs/${response.headers.get('x-run-id')}`);
  t.match(body, { state: 'succeeded', attempt: 2, result: { text: 'fine' } });

  const started = await call<Run>(server, 'POST', '/v1/tickets/R-4/runs', { action: 'chat', message: 'hopeless' });
  for (const attempt of [1, 2]) {
    await gemini.waitFor((request) => request.prompt.includes('hopeless') && request.state === 'held');
    killAgent();
    if (attempt === 1) {
      await events(server, started.body.run_id, { until: (event) => event.type === 'run.resumed' });
    }
  }
  t.match((await events(server, started.body.run_id)).at(-1), {
    type: 'run.failed',
    data: { error: { code: 'agent_crashed' } },
  });
  await server.stop();
});

t.test('the duration of a run covers all its attempts', async (t) => {
  let server = await startServerProcess(t, world, settings);
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'R-6', repo_url: REPO });
  gemini.on(/(?:short|long) thoughts/, [{ hang: true }, { text: 'thought' }]);
  const runIds: string[] = [];
  for (const message of ['short thoughts', 'long thoughts']) {
    const { body } = await call<Run>(server, 'POST', '/v1/tickets/R-6/runs', { action: 'chat', message });
    runIds.push(body.run_id);
    await held(message);
    // The step and the duration are written together, shortly after the prompt.
    await events(server, body.run_id, { until: ({ type, data }) => type === 'step.started' && data.step === 'agent' });
    await server.stop('SIGKILL');
    const store = new SQLite(join(world.dir, 'data/pullwright.db'));
    const { spent } = store
      .prepare<[string], { spent: number }>('select duration_ms as spent from runs where run_id = ?')
      .get(body.run_id) ?? { spent: 0 };
    t.ok(spent > 0, 'an interrupted run has a duration');
    const seconds = message === 'short thoughts' ? 1000 : 3600;
    store.prepare('update runs set duration_ms = ? where run_id = ?').run(1000 * seconds, body.run_id);
    store.close();
    server = await startServerProcess(t, world, settings);
    await events(server, body.run_id);
  }
  const [short = [], long = []] = await Promise.all(runIds.map((id) => events(server, id)));
  t.match(short.at(-1), { type: 'run.succeeded' });
  t.match(long.at(-1), { type: 'run.timed_out', data: { error: { detail: /3600 s/ } } });
  const durations = [short, long].map((log) => {
    const end = log.at(-1);
    return end?.type === 'run.succeeded' || end?.type === 'run.timed_out' ? end.data.duration_ms : 0;
  });
  t.ok((durations[0] ?? 0) > 1_000_000 && (durations[1] ?? 0) >= 3_600_000);
  const { body: usage } = await call<UsageReport>(server, 'GET', '/v1/usage?by=ticket');
  t.ok((usage.items.find(({ ticket_id }) => ticket_id === 'R-6')?.duration_ms ?? 0) > 4_600_000);
  await server.stop();
});

t.test('an acknowledged cancel holds after kill -9', async (t) => {
  let server = await startServerProcess(t, world, settings);
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'R-5', repo_url: REPO });
  gemini.on('for ever', [{ hang: true }, { text: 'after all' }]);
  const { body } = await call<Run>(server, 'POST', '/v1/tickets/R-5/runs', { action: 'chat', message: 'for ever' });
  await held('for ever');
  // The stopped agent cannot end its turn, so the run is open when the server is killed.
  for (const { pid } of processesIn(join(world.dir, 'tickets/R-5'))) process.kill(pid, 'SIGSTOP');
  t.equal((await call(server, 'POST', `/v1/runs/${body.run_id}/cancel`)).status, 202);
  await server.stop('SIGKILL');
  const db = new SQLite(join(world.dir, 'data/pullwright.db'));
  t.match(db.prepare('select state from runs where run_id = ?').get(body.run_id), { state: 'running' });
  db.close();

  server = await startServerProcess(t, world, settings);
  const log = await events(server, body.run_id);
  t.match(log.at(-1), { type: 'run.canceled', data: { error: { code: 'canceled' } } });
  t.equal(count(log, 'run.resumed'), 0);
  t.match((await call(server, 'GET', `/v1/runs/${body.run_id}`)).body, { state: 'canceled', attempt: 1 });
  await server.stop();
});

t.test('a cancel recorded while a stop requeues the run takes effect after the next start', async (t) => {
  let server = await startServerProcess(t, world, { ...settings, SHUTDOWN_SECONDS: '1' });
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'R-7', repo_url: REPO });
  gemini.on('without end', [{ hang: true }, { text: 'after all' }]);
  const { body } = await call<Run>(server, 'POST', '/v1/tickets/R-7/runs', { action: 'chat', message: 'without end' });
  await held('without end');
  await server.stop();
  const db = new SQLite(join(world.dir, 'data/pullwright.db'));
  t.match(db.prepare('select state from runs where run_id = ?').get(body.run_id), { state: 'queued' });
  db.prepare('update runs set cancel_requested_at = ? where run_id = ?').run(new Date().toISOString(), body.run_id);
  db.close();

  server = await startServerProcess(t, world, settings);
  const log = await events(server, body.run_id);
  t.match(log.at(-1), { type: 'run.canceled', data: { error: { code: 'canceled' } } });
  t.equal(count(log, 'run.started'), 1, 'no second attempt starts');
  await server.stop();
});
