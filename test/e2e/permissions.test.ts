import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { EventType, RunEvent } from '../../schemas/event.ts';
import type { Permission } from '../../schemas/permission.ts';
import type { Run } from '../../schemas/run.ts';
import { agentText, call, events, frames, run } from '../helpers/client.ts';
import { ADMIN_KEY, asAdmin, makeKey } from '../helpers/keys.ts';
import { noneLeft } from '../helpers/processes.ts';
import { makeWorld, REPO, type ServerProcess, startServerProcess } from '../helpers/server.ts';

const OTHER = 'https://github.com/acme/other';
const SAMPLE = fileURLToPath(new URL('../../standins/sample', import.meta.url));
const PLAN = '# Notes\n\n## Goal\n\nNotes.';

const world = await makeWorld(t);
const { gemini, github } = world;
await github.addRepository('acme/other', { from: SAMPLE });
const settings = { API_KEY: ADMIN_KEY, ASK_PERMISSION: 'execute,edit' };
let server = await startServerProcess(t, world, settings);

const shell = (command: string, more: object = {}) => ({
  calls: [{ name: 'run_shell_command', args: { command, ...more } }],
});
const write = (content: string) => ({ calls: [{ name: 'write_file', args: { file_path: 'NOTES.md', content } }] });
const read = { calls: [{ name: 'read_file', args: { file_path: 'package.json' } }] };
const find = { calls: [{ name: 'glob', args: { pattern: '*.md' } }] };
const only = (seen: readonly RunEvent[], ...types: EventType[]) => seen.filter(({ type }) => types.includes(type));

/** Starts another server on the same folders for the following tests. */
async function startAgain(more: Record<string, string> = {}): Promise<void> {
  server = await startServerProcess(t, world, { ...settings, ...more });
}

async function makeTicket(ticket_id: string, repo_url = REPO): Promise<void> {
  const { status } = await call(server, 'POST', '/v1/tickets', { ticket_id, repo_url }, asAdmin);
  if (status !== 201) throw new Error(`the ticket was not created: ${status}`);
  gemini.on(new RegExp(`Action: make_plan.*${ticket_id}`, 's'), [{ text: PLAN }]);
}

async function start(ticketId: string): Promise<string> {
  const { body } = await call<Run>(server, 'POST', `/v1/tickets/${ticketId}/runs`, { action: 'dev' }, asAdmin);
  return body.run_id;
}

/** Waits for the nth permission request of a run; returns it with the route for its answer. */
async function asked(runId: string, nth = 1) {
  let count = 0;
  const until = (event: RunEvent) => event.type === 'permission.requested' && ++count === nth;
  const seen = await events(server, runId, { until, headers: asAdmin });
  const last = seen.at(-1);
  if (last?.type !== 'permission.requested') throw new Error('the run has no such permission request');
  return { ...last.data, path: `/v1/runs/${runId}/permissions/${last.data.permission_id}` };
}

const list = (headers: Record<string, string> = asAdmin, query = '') =>
  call<{ items: Permission[]; next_cursor: string | null }>(
    server,
    'GET',
    `/v1/permissions${query}`,
    undefined,
    headers,
  );
const answer = (
  path: string,
  decision: string,
  headers: Record<string, string> = asAdmin,
  on: ServerProcess = server,
) => call(on, 'POST', path, { decision }, headers);
const stateOf = async (runId: string) =>
  (await call<Run>(server, 'GET', `/v1/runs/${runId}`, undefined, asAdmin)).body.state;

t.test('a command and an edit wait for a decision, and the agent follows it', async (t) => {
  await makeTicket('ASK-1');
  gemini.on(/Action: dev.*ASK-1/s, [shell('ls\nrm -rf src'), write('notes\n'), { text: 'Wrote them.' }]);
  const runId = await start('ASK-1');

  const command = await asked(runId);
  t.match(command, { kind: 'execute', command: 'ls\nrm -rf src', title: 'ls\\u{a}rm -rf src', tool_call_id: String });
  t.ok(
    command.options.every(({ kind }) => kind === 'allow_once' || kind === 'reject_once'),
    'no option applies to later calls',
  );
  await events(server, runId, { until: ({ type }) => type === 'run.waiting', headers: asAdmin });
  t.equal(await stateOf(runId), 'waiting');
  const listed = await list();
  const { permission_id, deadline } = command;
  t.match(listed.body.items, [
    {
      permission_id,
      run_id: runId,
      ticket_id: 'ASK-1',
      action: 'dev',
      deadline,
      asked_at: String,
      command: 'ls\nrm -rf src',
    },
  ]);
  t.equal(listed.body.items.length, 1);
  t.equal(listed.body.next_cursor, null);

  t.match(await answer(command.path, 'reject'), {
    status: 200,
    body: { permission_id, decision: 'reject', by: 'environment' },
  });
  t.match(await answer(command.path, 'allow'), {
    status: 409,
    body: { code: 'permission_resolved', detail: /resolved: reject, by environment/ },
  });

  const edit = await asked(runId, 2);
  t.match(
    edit,
    { kind: 'edit', diff: [{ path: /NOTES\.md$/, new_text: 'notes\n' }] },
    'the diff holds the whole new text',
  );
  t.equal((await answer(edit.path, 'allow')).status, 200);
  const seen = await events(server, runId, { headers: asAdmin });
  t.match(
    seen.at(-1),
    { type: 'run.succeeded', data: { result: { files_changed: 1 } } },
    'the rejected command did not run',
  );
  t.match(only(seen, 'permission.requested', 'permission.resolved', 'run.waiting', 'run.resumed'), [
    { type: 'permission.requested', data: { permission_id } },
    { type: 'run.waiting', data: { permission_id } },
    { type: 'permission.resolved', data: { permission_id, decision: 'reject', by: 'environment' } },
    { type: 'run.resumed', data: { cause: 'permission resolved' } },
    { type: 'permission.requested' },
    { type: 'run.waiting' },
    { type: 'permission.resolved', data: { decision: 'allow', by: 'environment' } },
    { type: 'run.resumed' },
  ]);
  t.same((await list()).body.items, []);

  const audit = await call(server, 'GET', '/v1/audit', undefined, asAdmin);
  t.match(
    audit.body.items.filter(({ operation }: { operation: string }) => operation === 'answerPermission'),
    [
      { status: 200, run_id: runId, ticket_id: 'ASK-1', actor: 'environment' },
      { status: 409, run_id: runId, code: 'permission_resolved' },
      { status: 200, run_id: runId },
    ],
  );
});

t.test('no shell command avoids the permission request', async (t) => {
  await makeTicket('ASK-2');
  gemini.on(/Action: dev.*ASK-2/s, [
    shell('rm -rf *', { dir_path: 'src' }),
    shell('sleep 1', { is_background: true }),
    shell('cat package.json'),
    { text: 'Enough.' },
  ]);
  const runId = await start('ASK-2');
  const harmless = await asked(runId);
  t.equal(
    harmless.command,
    'cat package.json',
    'the server denies partly visible commands and asks about harmless ones',
  );
  await answer(harmless.path, 'allow');
  const seen = await events(server, runId, { headers: asAdmin });
  t.equal(only(seen, 'permission.requested').length, 1);
  t.match(seen.at(-1), { type: 'run.failed', data: { error: { code: 'no_changes' } } });
});

t.test('the server rejects an unanswered request at its deadline, and /command shows the route', async (t) => {
  await server.stop();
  await startAgain({ ASK_PERMISSION: 'execute, read,search', PERMISSION_TIMEOUT_SECONDS: '1' });
  await makeTicket('ASK-3');
  gemini.on(/Action: dev.*ASK-3/s, [shell(`touch a\n${'#'.repeat(400)}`), read, find, { text: 'Then not.' }]);
  const response = await fetch(new URL('/command', server.url), {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...asAdmin },
    body: JSON.stringify({ ticket_id: 'ASK-3', action: 'dev' }),
  });
  const runId = response.headers.get('x-run-id') ?? '';
  const lines: string[] = [];
  for await (const { data } of frames(response)) lines.push(data);
  const shown = lines.find((line) => line.startsWith('[permission] POST')) ?? '';
  t.match(
    shown,
    /^\[permission\] POST \/v1\/runs\/\S+\/permissions\/\S+ \{"decision":"allow"\|"reject"\} until \S+Z: execute touch a\\n#+ \[cut; GET \/v1\/permissions shows all of it\]$/,
  );
  t.ok(shown.includes(runId));
  t.ok(lines.includes('[permission] reject, by deadline'));
  const seen = await events(server, runId, { headers: asAdmin });
  t.match(only(seen, 'permission.requested'), [
    { data: { kind: 'execute' } },
    { data: { kind: 'read', locations: [{ path: /package\.json$/ }] } },
    { data: { kind: 'search', title: /\*\.md/ } },
  ]);
  const unanswered = { data: { decision: 'reject', by: 'deadline' } };
  t.match(only(seen, 'permission.resolved'), [unanswered, unanswered, unanswered]);
  t.match(agentText(seen), /Then not\./, 'the agent continues');
  const [question] = only(seen, 'permission.requested');
  const late = question?.type === 'permission.requested' ? question.data.permission_id : '';
  t.match(await answer(`/v1/runs/${runId}/permissions/${late}`, 'allow'), {
    status: 409,
    body: { detail: /reject, by deadline/ },
  });
  await server.stop();
  await startAgain();
});

t.test('a key lists and answers only permissions of its repositories and scopes', async (t) => {
  await makeTicket('ASK-4');
  await makeTicket('ASK-5', OTHER);
  for (const id of ['ASK-4', 'ASK-5'])
    gemini.on(new RegExp(`Action: dev.*${id}`, 's'), [shell('make'), { text: 'Made.' }]);
  const [first, second] = [await start('ASK-4'), await start('ASK-5')];
  const [one, two] = [await asked(first), await asked(second)];
  const limited = await makeKey(server, { scopes: ['dev'], repositories: ['acme/other'] });
  const planner = await makeKey(server, { scopes: ['plan', 'chat'] });

  const page = await list(asAdmin, '?limit=1');
  const rest = await list(asAdmin, `?limit=1&cursor=${page.body.next_cursor}`);
  const ids = [...page.body.items, ...rest.body.items].map(({ permission_id }) => permission_id);
  t.strictSame(ids, [one.permission_id, two.permission_id].sort(), 'oldest first, page by page');
  t.equal(rest.body.next_cursor, null);
  t.match((await list(asAdmin, '?cursor=nonsense')).status, 400);

  t.match((await list(limited.headers)).body.items, [{ run_id: second }]);
  t.equal((await list(limited.headers)).body.items.length, 1);
  t.match(await answer(one.path, 'allow', limited.headers), { status: 404, body: { code: 'run_not_found' } });
  t.match(await answer(one.path, 'allow', planner.headers), { status: 403, body: { code: 'forbidden_scope' } });
  t.match(await answer(one.path, 'allow', {}), { status: 401 });
  t.match(await answer(`/v1/runs/${first}/permissions/${two.permission_id}`, 'allow'), {
    status: 404,
    body: { code: 'permission_not_found' },
  });
  t.match(await answer(one.path, 'allow_always'), { status: 400, body: { code: 'invalid_request' } });
  t.same((await list()).body.items.length, 2, 'no refused answer resolved a request');

  const both = await Promise.all([answer(two.path, 'allow', limited.headers), answer(two.path, 'reject')]);
  t.same(both.map(({ status }) => status).sort(), [200, 409], 'one of two concurrent answers counts');
  const won = both.find(({ status }) => status === 200)?.body;
  const log = await events(server, second, { headers: asAdmin });
  t.match(only(log, 'permission.resolved'), [{ data: { decision: won.decision, by: won.by } }]);

  await call(server, 'POST', `/v1/runs/${first}/cancel`, undefined, asAdmin);
  const seen = await events(server, first, { headers: asAdmin });
  t.match(only(seen, 'permission.resolved', 'run.resumed', 'run.canceled'), [
    { type: 'permission.resolved', data: { decision: 'reject', by: 'canceled' } },
    { type: 'run.canceled' },
  ]);
  t.match(await answer(one.path, 'allow'), { status: 409, body: { detail: /by canceled/ } });
});

t.test('the server rejects an open request after kill -9', async (t) => {
  await makeTicket('ASK-6');
  gemini.on(/Action: dev.*ASK-6/s, [shell('make'), { text: 'Made.' }]);
  const runId = await start('ASK-6');
  const { path, permission_id } = await asked(runId);
  await server.stop('SIGKILL');
  await noneLeft(world.dir);
  await startAgain();
  const until = ({ type }: RunEvent) => type === 'permission.resolved';
  t.match((await events(server, runId, { until, headers: asAdmin })).at(-1), {
    data: { permission_id, decision: 'reject', by: 'interrupted' },
  });
  t.notOk((await list()).body.items.some((item) => item.permission_id === permission_id));
  t.match(await answer(path, 'allow'), { status: 409, body: { detail: /by interrupted/ } });
  await call(server, 'POST', `/v1/runs/${runId}/cancel`, undefined, asAdmin);
  await events(server, runId, { headers: asAdmin });
  t.equal((await run(server, 'ASK-6', { action: 'chat', message: 'still there?' }, asAdmin)).run.state, 'succeeded');
});
