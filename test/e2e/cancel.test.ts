import t, { type Test } from 'tap';
import type { RunEvent } from '../../schemas/event.ts';
import type { Run } from '../../schemas/run.ts';
import { call, events } from '../helpers/client.ts';
import { processesIn } from '../helpers/processes.ts';
import { makeWorld, REPO, startServer } from '../helpers/server.ts';

// Each run waits for something that hangs, so only the cancel can end it.
const world = await makeWorld(t);
const { gemini, github } = world;
const server = await startServer(t, world, {
  VERIFY_COMMAND: '["sh","-c","test ! -e wait-for-ever || sleep 100000"]',
});
const PLAN = '# Notes\n\n## Goal\n\nNotes.';
const NOT_COMMITTED = /Nothing is committed; changes stay in the workspace/;
const write = (file_path: string) => ({ calls: [{ name: 'write_file', args: { file_path, content: 'x\n' } }] });
const shell = (command: string) => ({ calls: [{ name: 'run_shell_command', args: { command } }] });

/** Starts a `dev` run whose agent plays the given turns. */
async function dev(ticketId: string, turns: Parameters<typeof gemini.on>[1]): Promise<string> {
  await call(server, 'POST', '/v1/tickets', { ticket_id: ticketId, repo_url: REPO });
  gemini.on(new RegExp(`Action: make_plan.*${ticketId}`, 's'), [{ text: PLAN }]);
  gemini.on(new RegExp(`Action: dev.*${ticketId}`, 's'), turns);
  const { body } = await call<Run>(server, 'POST', `/v1/tickets/${ticketId}/runs`, { action: 'dev' });
  return body.run_id;
}

/** Cancels a run and returns its last event. */
async function cancel(t: Test, runId: string): Promise<RunEvent | undefined> {
  t.equal((await call(server, 'POST', `/v1/runs/${runId}/cancel`)).status, 202);
  const last = (await events(server, runId)).at(-1);
  t.match(last, { type: 'run.canceled', data: { error: { code: 'canceled' } } });
  return last;
}

const changed = async (ticketId: string): Promise<string[]> =>
  (await call(server, 'GET', `/v1/tickets/${ticketId}/diff`)).body.files.map((file: { path: string }) => file.path);

t.test('cancel stops a run while the server fetches the repository', async (t) => {
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'C-1', repo_url: REPO });
  const reached = github.hang({ match: /upload-pack/ });
  const { body } = await call<Run>(server, 'POST', '/v1/tickets/C-1/runs', { action: 'chat', message: 'hello' });
  await reached;
  await cancel(t, body.run_id);
});

t.test('cancel stops a run while it waits for the model', async (t) => {
  const runId = await dev('C-2', [write('HALF.md'), { hang: true }]);
  await gemini.waitFor((request) => /Action: dev.*C-2/s.test(request.prompt) && request.state === 'held');
  t.match(await cancel(t, runId), { data: { error: { detail: NOT_COMMITTED } } });
  t.strictSame(await changed('C-2'), ['HALF.md']);
});

t.test('cancel stops a run during a tool call', async (t) => {
  const runId = await dev('C-3', [shell('echo x > HALF.md; sleep 100000')]);
  await events(server, runId, { until: (event) => event.type === 'tool.started' && event.data.kind === 'execute' });
  while ((await changed('C-3')).length === 0) await new Promise((resolve) => setImmediate(resolve));
  await cancel(t, runId);
  t.notOk(
    processesIn(world.dir).some(({ command }) => command.includes('sleep 100000')),
    'the process of the tool call is gone',
  );
  t.strictSame(await changed('C-3'), ['HALF.md']);
});

t.test('cancel stops a run during its check command', async (t) => {
  const runId = await dev('C-4', [write('wait-for-ever'), { text: 'Done.' }]);
  await events(server, runId, { until: (event) => event.type === 'step.started' && event.data.step === 'verify' });
  t.match(await cancel(t, runId), { data: { error: { detail: NOT_COMMITTED } } });
  t.strictSame(await changed('C-4'), ['wait-for-ever']);
});

t.test('cancel stops a run while it commits thousands of files', async (t) => {
  const runId = await dev('C-5', [shell('mkdir many; seq 20000 | split -l 1 -a 4 - many/file'), { text: 'Done.' }]);
  await events(server, runId, { until: (event) => event.type === 'step.started' && event.data.step === 'commit' });
  t.match(await cancel(t, runId), { data: { error: { detail: NOT_COMMITTED } } });
  t.notOk((await events(server, runId)).some((event) => event.type === 'commit.created'));
  t.equal((await call(server, 'POST', '/v1/tickets', { ticket_id: 'C-5', repo_url: REPO })).status, 200);
  t.equal((await call(server, 'DELETE', '/v1/tickets/C-5')).body.code, 'unpushed_work', 'the workspace keeps the work');
});

t.test('cancel stops a run during its push', async (t) => {
  const reached = github.hang({ match: /receive-pack/ });
  const runId = await dev('C-6', [write('DONE.md'), { text: 'Done.' }]);
  await reached;
  t.match(await cancel(t, runId), { data: { error: { detail: /Commit \w{12} is on the branch/ } } });
  t.ok((await events(server, runId)).some((event) => event.type === 'commit.created'));
});

t.test('cancel stops a run while it opens the pull request', async (t) => {
  const reached = github.hang({ match: /POST .*\/pulls$/ });
  const runId = await dev('C-7', [write('DONE.md'), { text: 'Done.' }]);
  await reached;
  t.match(await cancel(t, runId), {
    data: { error: { detail: /Commit \w{12} is pushed, but may have no pull request/ } },
  });
});

t.test('`dev` succeeds on a ticket whose earlier run was canceled', async (t) => {
  const runId = await dev('C-6', [{ text: 'All is there.' }]);
  t.match((await events(server, runId)).at(-1), {
    type: 'run.succeeded',
    data: { result: { pull_request: { created: true } } },
  });
});
