import { statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { RunEvent } from '../../schemas/event.ts';
import { SCRIPTED_GEMINI } from '../agents/scripted.ts';
import { withoutDefences } from '../attacks/client-arena.ts';
import { agentText, call, run } from '../helpers/client.ts';
import { noneLeft } from '../helpers/processes.ts';
import { makeWorld, REPO, startServerProcess } from '../helpers/server.ts';

/**
 * Limits on the output of an agent. An ACP program replaces Gemini CLI and carries out the message of the run, as a
 * compromised agent would.
 */
const MIB = 1024 * 1024;
const world = await makeWorld(t);
const { env, nodeArgs } = withoutDefences({ edits: SCRIPTED_GEMINI });
const server = await startServerProcess(
  t,
  world,
  { MAX_RUN_OUTPUT_MB: '1', RATE_LIMIT_PER_MINUTE: '100000', ...env },
  nodeArgs,
);
await call(server, 'POST', '/v1/tickets', { ticket_id: 'O-1', repo_url: REPO });

const play = (steps: object[], action = 'chat') => run(server, 'O-1', { action, message: JSON.stringify(steps) });
const line = (method: string, params: object, id?: string) => JSON.stringify({ jsonrpc: '2.0', id, method, params });
const update = (sessionUpdate: string, content: object) =>
  line('session/update', { sessionId: 's', update: { sessionUpdate, ...content } });
const text = (kind: string) => update(kind, { content: { type: 'text', text: 'PAD' } });
const size = (events: readonly RunEvent[]) => events.reduce((sum, { data }) => sum + JSON.stringify(data).length, 0);
const LIMIT = { code: 'output_limit', retryable: false, detail: /1 MiB that MAX_RUN_OUTPUT_MB allows/ };

const content = [
  { type: 'content', content: { type: 'text', text: 'PAD' } },
  { type: 'diff', path: 'a', oldText: 'b', newText: 'c' },
];
const FLOODS: Record<string, { times: number; pad?: number; line: string }> = {
  'an endless answer': { times: 500, pad: 100_000, line: text('agent_message_chunk') },
  'an answer in tiny pieces': { times: 200_000, pad: 20, line: text('agent_message_chunk') },
  'messages of the maximum size': { times: 5, pad: 8_000_000, line: text('agent_message_chunk') },
  'endless thoughts': { times: 500, pad: 100_000, line: text('agent_thought_chunk') },
  'endless tool calls': { times: 50_000, line: update('tool_call', { toolCallId: 'cNUMBER', title: 'x' }) },
  'endless tool output': {
    times: 500,
    pad: 100_000,
    line: update('tool_call_update', { toolCallId: 'c', content }),
  },
  'endless plans': { times: 5000, pad: 900, line: update('plan', { entries: [{ content: 'PAD' }] }) },
  'endless permission requests': {
    times: 50_000,
    line: line('session/request_permission', { sessionId: 's', options: [], toolCall: { toolCallId: 'c' } }, 'pNUMBER'),
  },
};

for (const [name, flood] of Object.entries(FLOODS)) {
  t.test(`a run fails with output_limit when its agent sends ${name}`, async (t) => {
    const { run: ended, events } = await play([{ repeat: flood }, { hang: 1 }]);
    t.match(ended, { state: 'failed', error: LIMIT });
    t.equal(events.at(-1)?.type, 'run.failed');
    t.ok(size(events) > MIB / 4 && size(events) < 1.3 * MIB, `the earlier output is kept: ${size(events)} bytes`);
    await noneLeft('/opt/agent.mjs');
  });
}

t.test('the store grows by little more than the limits of the runs', (t) => {
  const bytes = statSync(join(world.dir, 'data/pullwright.db')).size;
  t.ok(bytes < 2 * MIB * Object.keys(FLOODS).length, `${bytes} bytes`);
  t.end();
});

t.test('the server does not store unknown updates and malformed lines', async (t) => {
  const lines = [update('from_the_future', { content: 'PAD' }), line('_news', { text: 'PAD' }), 'PAD'];
  const { run: ended, events } = await play([
    ...lines.map((line) => ({ repeat: { times: 100, pad: 50_000, line } })),
    { say: 'done' },
  ]);
  t.match(ended, { state: 'succeeded', result: { text: 'done' } });
  t.ok(size(events) < 10_000);
});

t.test('the output limit covers all attempts of a run', async (t) => {
  const { run: ended, events } = await play([
    { repeat: { times: 6, pad: 100_000, line: text('agent_thought_chunk') } },
    { exit: 1 },
  ]);
  t.match(ended, { state: 'failed', attempt: 2, error: { code: 'output_limit' } });
  t.match(
    events.find(({ type }) => type === 'run.resumed'),
    { data: { cause: 'agent crash', attempt: 2 } },
  );
});

t.test('`dev` keeps its work when the agent exceeds the output limit', async (t) => {
  await play([{ say: '# Goal\n\nFill it.' }], 'make_plan');
  const { run: ended, events } = await play(
    [{ fill: 10 }, { repeat: { times: 100, pad: 100_000, line: text('agent_message_chunk') } }],
    'dev',
  );
  t.match(ended, { state: 'failed', error: { code: 'output_limit', remedy: /kept in the workspace/ } });
  t.match(
    events.findLast(({ type }) => type === 'log'),
    { data: { text: /^The work so far is kept in the workspace/ } },
  );
  t.match((await call(server, 'GET', '/v1/tickets/O-1/diff')).body, { files: [{ path: 'filled' }] });
});

t.test('the result of a very long answer holds its end, and the events hold all of it', async (t) => {
  const { run: ended, events } = await play([
    { repeat: { times: 8, pad: 100_000, line: text('agent_message_chunk') } },
    { say: 'the end' },
  ]);
  t.equal(agentText(events).length, 800_007);
  t.equal(ended.result?.text?.length, 262_144);
  t.match(ended.result?.text, /xthe end$/);
});
