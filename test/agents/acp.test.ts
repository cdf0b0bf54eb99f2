import { setImmediate } from 'node:timers/promises';
import t from 'tap';
import type { EventDraft } from '../../schemas/event.ts';
import { allGone, descendants } from '../sandbox/process-tree.ts';
import { makeWorld, type Owner } from './fixtures.ts';
import { scripted } from './scripted.ts';

const KEY = 'AIzaSyStandInKey0123456789';

/** Formats a message of the agent with a part of its answer. */
function chunk(text: string): string {
  const update = { sessionUpdate: 'agent_message_chunk', content: { type: 'text', text } };
  return JSON.stringify({ jsonrpc: '2.0', method: 'session/update', params: { sessionId: 's', update } });
}

async function makeScripted(t: Owner, fault?: string, settings: Record<string, string> = {}) {
  const world = await makeWorld(t);
  const agents = world.agents({ GEMINI_API_KEY: KEY, AGENT: 'scripted', ...settings }, [scripted(fault)]);
  const play = (steps: object[], options: Parameters<typeof world.prompt>[3] & { mode?: 'read' | 'write' } = {}) =>
    world.prompt(agents, options.mode ?? 'read', JSON.stringify(steps), { agent: 'scripted', ...options });
  return { agents, play };
}

t.test('a turn emits the updates of the agent as events, in order', async (t) => {
  const { agents, play } = await makeScripted(t);
  t.match(await agents.list(), [
    {
      name: 'scripted',
      title: 'Scripted agent',
      default: true,
      version: '1.0.0',
      healthy: true,
      sandbox: 'bubblewrap',
    },
  ]);
  const options = [
    { optionId: 'ok', name: 'Allow', kind: 'allow_once' },
    { optionId: 'no', name: `Reject ${KEY}`, kind: 'reject_once' },
  ];
  const turn = await play([
    { say: 'Hello' },
    { say: ', outcome: ' },
    { raw: 'this is no JSON' },
    { update: { sessionUpdate: 'from_the_future', content: 1 } },
    { update: { sessionUpdate: 'tool_call_update', toolCallId: 'late', status: 'failed' } },
    { permission: { toolCall: { toolCallId: 'asked', title: 'rm', kind: 'execute' }, options } },
    { update: { sessionUpdate: 'tool_call', toolCallId: 'asked', status: 'completed' } },
  ]);
  t.equal(
    turn.answer,
    'Hello, outcome: {"outcome":"selected","optionId":"no"}',
    'the policy rejects the call of a reader',
  );
  t.match(
    turn.events.filter(({ type }) => type !== 'message.delta'),
    [
      { type: 'tool.started', data: { tool_call_id: 'late', status: 'failed' } },
      { type: 'tool.started', data: { tool_call_id: 'asked', title: 'rm', kind: 'execute' } },
      { type: 'permission.resolved', data: { tool_call_id: 'asked', decision: 'reject', by: 'policy' } },
      { type: 'tool.updated', data: { tool_call_id: 'asked', status: 'completed' } },
    ],
  );
  t.same({ continued: turn.continued, lost: turn.transcriptLost }, { continued: false, lost: false });

  const { sessionId } = turn;
  const writer = await play([{ permission: { toolCall: { toolCallId: 'w', kind: 'edit' }, options } }], {
    mode: 'write',
    sessionId,
  });
  t.equal(
    writer.answer,
    '{"outcome":"selected","optionId":"ok"}',
    'the policy allows the call of a writer, and the replay emits nothing',
  );
  t.equal(writer.continued, true);
});

t.test('a turn emits at most 200 log events when the agent floods stderr', async (t) => {
  const { play } = await makeScripted(t);
  const lines = Array.from({ length: 300 }, (_, index) => ({ stderr: `line ${index} ${KEY}` }));
  const permission = { toolCall: { toolCallId: 'p' }, options: [] };
  const { events } = await play([
    { stderr: 'noise' },
    { stderr: 'x'.repeat(5000) },
    ...lines,
    { permission },
    { permission },
  ]);
  const logs = events.flatMap((event) => (event.type === 'log' ? [event.data] : []));
  t.ok(logs.length > 0 && logs.length <= 200);
  t.match(logs[0], { level: 'warn', text: /^x{2000}\n\[3000 bytes cut\]$/ });
  t.equal(logs[1]?.text, 'line 0 [redacted]');
});

t.test('a turn fails with a reason when the agent exits or violates the protocol', async (t) => {
  const { play } = await makeScripted(t);
  const cases: [object[], { code: string; message?: RegExp }][] = [
    [[{ say: 'half' }, { exit: 3 }], { code: 'agent_crashed', message: /exit code 3/ }],
    [[{ flood: 9 * 1024 * 1024 }, { hang: 1 }], { code: 'agent_protocol', message: /more than 8388608 bytes/ }],
    [[{ raw: '['.repeat(65) }, { hang: 1 }], { code: 'agent_protocol', message: /nested too deeply/ }],
    [[{ raw: `[${'1,'.repeat(100_000)}1]` }, { hang: 1 }], { code: 'agent_protocol', message: /too many values/ }],
    [
      [{ error: { code: -32603, message: 'Internal error', data: { details: 'no luck' } } }],
      { code: 'agent_protocol', message: /no luck/ },
    ],
    [[{ stop: 'refusal' }], { code: 'agent_refused' }],
    [[{ stop: 'tired' }], { code: 'agent_protocol', message: /no known stop reason/ }],
    [[], { code: 'agent_refused', message: /no answer/ }],
  ];
  for (const [steps, expected] of cases) await t.rejects(play(steps), expected, JSON.stringify(steps).slice(0, 60));
  t.equal((await play([{ say: 'recovered' }])).answer, 'recovered');
});

t.test('a turn reads no further from its agent while events wait to be persisted', async (t) => {
  const { play } = await makeScripted(t);
  let waiting = false;
  let waits = 0;
  const early: EventDraft[] = [];
  const turn = await play([{ repeat: { times: 200, line: chunk('PAD'), pad: 40_000 } }, { say: 'done' }], {
    onEvent: (draft) => {
      if (waiting) early.push(draft);
    },
    async drained() {
      waiting = true;
      waits += 1;
      // Enough turns of the event loop to handle every received message.
      for (let turns = 0; turns < 10; turns += 1) await setImmediate();
      waiting = false;
    },
  });
  t.match(turn, { stopReason: 'end_turn' });
  t.ok(waits >= 600, 'the turn waits for each part of a long text');
  t.same(early, []);
});

t.test('a turn answers unknown requests with a short error, and ignores malformed ones', async (t) => {
  const { play } = await makeScripted(t);
  const junk = [1, null, [], {}, { id: 7 }, { id: {}, method: 'x' }, { id: 'x'.repeat(300), method: 'x' }];
  const turn = await play([
    ...junk.map((message) => ({ raw: JSON.stringify(message) })),
    // An answer to one of these would take the id of a request below.
    { raw: JSON.stringify([{ jsonrpc: '2.0', id: 'a', method: 'x' }]) },
    { raw: JSON.stringify({ jsonrpc: '2.0', id: 'unknown', result: KEY }) },
    {
      request: [
        { id: 'a', method: `fs/${'x'.repeat(100_000)}` },
        { id: 'b', method: 'session/request_permission', params: { options: new Array(101).fill({}) } },
      ],
    },
  ]);
  t.same(JSON.parse(turn.answer), [
    { code: -32601, message: 'Method not found' },
    { code: -32602, message: 'Invalid params' },
  ]);
});

t.test('a turn starts a new conversation when the agent cannot load the old one', async (t) => {
  const { play } = await makeScripted(t, 'forgetful');
  const turn = await play([{ say: 'who are you' }], { sessionId: 'session-0' });
  t.match(turn, { sessionId: 'session-1', continued: false, transcriptLost: true, answer: 'who are you' });
});

t.test('a turn fails with agent_unavailable when the agent does not start in time', async (t) => {
  const { play } = await makeScripted(t, 'silent', { AGENT_START_SECONDS: '1' });
  await t.rejects(play([]), { code: 'agent_unavailable', message: /did not start within 1 seconds/ });
  const abort = new AbortController();
  const started = play([], { signal: abort.signal });
  abort.abort();
  await t.rejects(started, { code: 'canceled' });
  await t.rejects(play([], { signal: abort.signal }), { code: 'canceled' }, 'no agent starts after the abort');
  t.same(descendants(process.pid), []);
});

t.test('the processes of an agent exit when its ticket or the server closes', async (t) => {
  const { agents, play } = await makeScripted(t);
  const closeDuringTurn = async (close: () => Promise<void>) => {
    const working = Promise.withResolvers<void>();
    const turn = play([{ say: 'on it' }, { hang: 1 }], { onEvent: () => working.resolve() });
    turn.catch(() => {});
    await working.promise;
    const tree = descendants(process.pid);
    t.ok(tree.length >= 3);
    await t.rejects(play([]), { code: 'ticket_busy' }, 'one turn at a time');
    await close();
    await t.rejects(turn, { code: 'canceled' });
    await allGone(tree);
  };
  await closeDuringTurn(() => agents.closeTicket('T-1'));
  await play([{ say: 'idle now' }]);
  t.not(descendants(process.pid).length, 0, 'an idle reader keeps its process');
  await play([{ say: 'done' }], { mode: 'write', sessionId: 'session-1' });
  t.same(descendants(process.pid), [], 'the process of a writer exits');
  await closeDuringTurn(() => agents.close());
  await t.rejects(play([]), { code: 'shutting_down' });
});

t.test('a turn fails with workspace_too_large when a writer exceeds MAX_WORKSPACE_MB', async (t) => {
  const { play } = await makeScripted(t, 'none', { MAX_WORKSPACE_MB: '5' });
  await t.rejects(play([{ fill: 20 * 1024 * 1024 }, { hang: 1 }], { mode: 'write' }), {
    code: 'workspace_too_large',
    message: /^The workspace has grown to \d+ MiB; the limit is 5 MiB \(MAX_WORKSPACE_MB\)\.$/,
  });
  t.same(descendants(process.pid), []);
  await t.rejects(play([{ hang: 1 }], { mode: 'write' }), { code: 'workspace_too_large' }, 'the next turn fails too');
  t.equal((await play([{ say: 'I only read' }])).answer, 'I only read');
});

t.test('an agent exits when it is idle for AGENT_IDLE_SECONDS', async (t) => {
  const { play } = await makeScripted(t, 'none', { AGENT_IDLE_SECONDS: '0' });
  await play([{ say: 'hello' }]);
  await allGone(descendants(process.pid));
});

t.test('a turn fails with agent_not_found when no definition has the name', async (t) => {
  const { agents, play } = await makeScripted(t);
  t.ok(agents.has('scripted'));
  t.notOk(agents.has('gemini'));
  await t.rejects(play([], { agent: 'gemini' }), { code: 'agent_not_found' });
});
