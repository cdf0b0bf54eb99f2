import { pino } from 'pino';
import t from 'tap';
import type { EventType, RunEvent } from '../../schemas/event.ts';
import type { Run } from '../../schemas/run.ts';
import { buildApp } from '../../src/app.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { createRedactor } from '../../src/redaction/redactor.ts';
import { scripted } from '../agents/scripted.ts';
import { agentText, call, events } from '../helpers/client.ts';
import { makeWorld, REPO, TOKEN } from '../helpers/server.ts';

/** Permission requests of a hostile agent, which carries out the message of its run. */
const world = await makeWorld(t);
const app = await buildApp({
  config: loadConfig(
    // A run has no second attempt when its agent exits.
    { ...world.env, AGENT: 'scripted', ASK_PERMISSION: 'execute,other', RUN_MAX_ATTEMPTS: '1' },
    `${world.dir}/.env`,
  ),
  parentEnv: { ...process.env, ...world.env },
  logger: pino({ level: 'silent' }),
  redactor: createRedactor([TOKEN]),
  agents: [
    {
      ...scripted(),
      promptText: (text) =>
        /STEPS(\[.*\])END/s.exec(text)?.[1] ?? JSON.stringify([{ say: '# Plan\n\n## Goal\n\nNone.' }]),
    },
  ],
});
t.teardown(() => app.close());
const server = { url: await app.listen({ port: 0, host: '127.0.0.1' }) };

const OPTIONS = [
  { optionId: 'always', name: 'Always', kind: 'allow_always' },
  { optionId: 'once', name: 'Once', kind: 'allow_once' },
  { optionId: 'no', name: 'No', kind: 'reject_once' },
  { optionId: 'never', name: 'Never', kind: 'reject_always' },
];
const request = (toolCall: object, options: object[] = OPTIONS) => ({
  toolCall: { toolCallId: 'call', title: 'make', kind: 'execute', ...toolCall },
  options,
});
const only = (seen: readonly RunEvent[], ...types: EventType[]) => seen.filter(({ type }) => types.includes(type));

let tickets = 0;
async function play(steps: object[], action = 'dev'): Promise<string> {
  tickets += 1;
  const ticket_id = `ATT-${tickets}`;
  await call(server, 'POST', '/v1/tickets', { ticket_id, repo_url: REPO });
  const message = `STEPS${JSON.stringify(steps)}END`;
  if (action === 'dev') {
    const planned = await call<Run>(server, 'POST', `/v1/tickets/${ticket_id}/runs`, { action: 'make_plan' });
    await events(server, planned.body.run_id);
  }
  const { body } = await call<Run>(server, 'POST', `/v1/tickets/${ticket_id}/runs`, { action, message });
  return body.run_id;
}

/** Returns the first `count` permission requests of a run. */
async function permissionRequests(runId: string, count: number) {
  const found: Extract<RunEvent, { type: 'permission.requested' }>['data'][] = [];
  await events(server, runId, {
    until: (event) => event.type === 'permission.requested' && found.push(event.data) === count,
  });
  return found;
}

const answer = (runId: string, permissionId: string, decision: string) =>
  call(server, 'POST', `/v1/runs/${runId}/permissions/${permissionId}`, { decision });

t.test('one answer resolves one request, whatever ids the agent uses', async (t) => {
  const runId = await play([
    {
      permissions: [
        request({ title: 'ls' }),
        request({ title: 'rm -rf .' }),
        { id: 'same', ...request({ title: 'a' }) },
        { id: 'same', ...request({ title: 'b' }) },
      ],
    },
  ]);
  const asked = await permissionRequests(runId, 4);
  t.strictSame(
    asked.map(({ command }) => command),
    ['ls', 'rm -rf .', 'a', 'b'],
  );
  t.equal(new Set(asked.map(({ permission_id }) => permission_id)).size, 4, 'each request has its own id');
  for (const { permission_id, command } of asked) {
    t.equal(
      (await call<Run>(server, 'GET', `/v1/runs/${runId}`)).body.state,
      'waiting',
      'the run waits while a request is open',
    );
    t.equal((await answer(runId, permission_id, command === 'ls' ? 'allow' : 'reject')).status, 200);
  }
  const seen = await events(server, runId);
  t.strictSame(
    JSON.parse(agentText(seen)),
    [
      ['permission-1', 'once'],
      ['permission-2', 'no'],
      ['same', 'no'],
      ['same', 'no'],
    ],
    'no option for later calls is chosen',
  );
  t.strictSame(
    only(seen, 'run.waiting', 'run.resumed').map(({ type }) => type),
    ['run.waiting', 'run.resumed'],
  );
});

t.test('the first of two concurrent answers counts', async (t) => {
  const runId = await play([{ permissions: [request({})] }]);
  const [question] = await permissionRequests(runId, 1);
  const permissionId = question?.permission_id ?? '';
  // Without HTTP, both calls read the request before either resolves it.
  const [first, second] = await Promise.allSettled(
    (['reject', 'allow'] as const).map((decision) =>
      app.permissions.answer({ runId, permissionId, decision, by: 'test' }),
    ),
  );
  t.match(first, { status: 'fulfilled', value: { decision: 'reject' } });
  t.match(second, { status: 'rejected', reason: { code: 'permission_resolved' } });
  t.equal(only(await events(server, runId), 'permission.resolved').length, 1);
});

t.test('the server rejects requests beyond ten open ones, and answers make room', async (t) => {
  const many = Array.from({ length: 60 }, (_, index) => request({ toolCallId: `c${index}`, title: `make ${index}` }));
  const runId = await play([{ permissions: many }, { permissions: [request({ title: 'last' })] }]);
  const asked = await permissionRequests(runId, 10);
  for (const { permission_id } of asked) await answer(runId, permission_id, 'allow');
  const last = (await permissionRequests(runId, 11)).at(-1);
  t.equal(last?.command, 'last');
  await answer(runId, last?.permission_id ?? '', 'allow');
  const seen = await events(server, runId);
  const outcomes = /^(\[\[.*?\]\])/.exec(agentText(seen))?.[1] ?? '[]';
  const granted = JSON.parse(outcomes).filter(([, outcome]: string[]) => outcome === 'once');
  t.equal(granted.length, 10);
  t.equal(only(seen, 'permission.requested').length, 11);
  t.equal(
    only(seen, 'permission.resolved').filter((event) => JSON.stringify(event).includes('"by":"policy"')).length,
    50,
  );
  t.equal(only(seen, 'log').filter((event) => JSON.stringify(event).includes('more than 10')).length, 1, 'logged once');
});

t.test('the server rejects a request that nobody could allow or judge', async (t) => {
  const twins = [...OPTIONS, { optionId: 'once', name: 'Once', kind: 'allow_always' }];
  const [always, once] = OPTIONS;
  const runId = await play([
    {
      permissions: [
        request({}, OPTIONS.slice(2)),
        request({}, [...(always ? [always] : [])]),
        request({}, twins),
        request({}, []),
        { long: 300_000, ...request({}) },
        request({ title: '' }),
        request({ kind: 'switch_mode' }),
        request({ kind: 'fetch' }),
      ],
    },
  ]);
  const seen = await events(server, runId, { until: ({ type }) => type === 'permission.requested' });
  t.same(only(seen, 'permission.requested'), []);
  t.same(
    JSON.parse(agentText(seen)).map(([, outcome]: string[]) => outcome),
    ['no', 'cancelled', 'cancelled', 'cancelled', 'no', 'no', 'no', 'no'],
  );
  t.ok(only(seen, 'permission.resolved').every((event) => JSON.stringify(event).includes('"by":"policy"')));

  const reader = await events(server, await play([{ permissions: [request({})] }], 'chat'));
  t.equal(agentText(reader), '[["permission-1","no"]]', '`chat` rejects without asking');

  const noWay = await play([{ permissions: [request({ kind: 'other' }, once ? [once] : [])] }]);
  const [question] = await permissionRequests(noWay, 1);
  await answer(noWay, question?.permission_id ?? '', 'reject');
  t.equal(
    agentText(await events(server, noWay)),
    '[["permission-1","cancelled"]]',
    'a request without a reject option is cancelled',
  );
});

t.test('a permission request shows control characters and holds no secret', async (t) => {
  const command = `make \u001b[2K\r\u202e && rm -rf . # ${TOKEN}`;
  const runId = await play([{ permissions: [request({ title: 'Build', rawInput: { command } })] }]);
  const [question] = await permissionRequests(runId, 1);
  const shown = 'make \\u{1b}[2K\\u{d}\\u{202e} && rm -rf . # [redacted]';
  t.match(question, { title: 'Build', command: shown });
  const { body } = await call(server, 'GET', '/v1/permissions');
  t.match(body.items, [{ command: shown }]);
  t.notOk(JSON.stringify(body).includes(TOKEN));
  await answer(runId, question?.permission_id ?? '', 'reject');
  await events(server, runId);
});

t.test('the server rejects open requests when their agent exits', async (t) => {
  const open = {
    raw: JSON.stringify({
      jsonrpc: '2.0',
      id: 'left',
      method: 'session/request_permission',
      params: { sessionId: 'session-1', ...request({}) },
    }),
  };
  for (const end of [{ exit: 3 }, { stop: 'end_turn' }]) {
    const runId = await play([{ say: 'Bye.' }, open, end]);
    const seen = await events(server, runId);
    t.match(only(seen, 'permission.requested', 'permission.resolved', 'run.failed'), [
      { type: 'permission.requested' },
      { type: 'permission.resolved', data: { decision: 'reject', by: 'canceled' } },
      { type: 'run.failed' },
    ]);
  }
  t.same((await call(server, 'GET', '/v1/permissions')).body.items, []);
});
