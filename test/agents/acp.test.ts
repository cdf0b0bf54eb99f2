import { setImmediate } from 'node:timers/promises';
import t from 'tap';
import type { EventDraft } from '../../schemas/event.ts';
import { CANCELED, decidePermission, outcomeOf, questionOf } from '../../src/agents/acp/permission-policy.ts';
import { mapUpdate } from '../../src/agents/acp/updates.ts';
import { createLimiter } from '../../src/concurrency/limiter.ts';
import { createRedactor } from '../../src/redaction/redactor.ts';
import { allGone, descendants } from '../sandbox/process-tree.ts';
import { makeWorld, type Owner } from './fixtures.ts';
import { scripted } from './scripted.ts';

const KEY = 'AIzaSyStandInKey0123456789';

/** A line of the agent with a piece of its answer. */
function chunk(text: string): string {
  const update = { sessionUpdate: 'agent_message_chunk', content: { type: 'text', text } };
  return JSON.stringify({ jsonrpc: '2.0', method: 'session/update', params: { sessionId: 's', update } });
}

async function makeScripted(t: Owner, oddity?: string, settings: Record<string, string> = {}) {
  const world = await makeWorld(t);
  const agents = world.agents({ GEMINI_API_KEY: KEY, AGENT: 'scripted', ...settings }, [scripted(oddity)]);
  const play = (steps: object[], options: Parameters<typeof world.prompt>[3] & { mode?: 'read' | 'write' } = {}) =>
    world.prompt(agents, options.mode ?? 'read', JSON.stringify(steps), { agent: 'scripted', ...options });
  return { agents, play };
}

t.test('updates become events', (t) => {
  const context = { root: '/work', redact: createRedactor([KEY]).text };
  const map = (update: unknown) => mapUpdate(update, context);

  t.same(map({ sessionUpdate: 'agent_message_chunk', content: { type: 'text', text: 'Hi' } }), [
    { type: 'message.delta', data: { text: 'Hi' } },
  ]);
  t.same(map({ sessionUpdate: 'agent_thought_chunk', content: { type: 'text', text: 'Hm' } }), [
    { type: 'thought.delta', data: { text: 'Hm' } },
  ]);
  const call = {
    toolCallId: 'c1',
    title: `Editing /work/src/a.ts with ${KEY}, in /work, not /work2/b or /net/work/c`,
    kind: 'edit',
    status: 'in_progress',
    locations: [{ path: '/work/src/a.ts', line: 3 }, { path: '/etc/hosts' }, { path: 7 }],
    content: [
      { type: 'diff', path: '/work/src/a.ts', oldText: 'a', newText: `b ${KEY}` },
      { type: 'content', content: { type: 'text', text: `said ${KEY}` } },
      { type: 'terminal', terminalId: 't' },
    ],
  };
  t.same(map({ sessionUpdate: 'tool_call', ...call }), [
    {
      type: 'tool.started',
      data: {
        tool_call_id: 'c1',
        title: 'Editing src/a.ts with [redacted], in ., not /work2/b or /net/work/c',
        kind: 'edit',
        status: 'in_progress',
        locations: [{ path: 'src/a.ts', line: 3 }, { path: '/etc/hosts' }],
        diff: [{ path: 'src/a.ts', old_text: 'a', new_text: 'b [redacted]' }],
        output: 'said [redacted]',
      },
    },
  ]);
  t.same(map({ sessionUpdate: 'tool_call_update', toolCallId: 'c1', kind: 'juggle', status: 'lost' }), [
    { type: 'tool.updated', data: { tool_call_id: 'c1', kind: 'other' } },
  ]);
  t.same(map({ sessionUpdate: 'plan', entries: [{ content: 'look', priority: 'high', status: 'pending' }, 1] }), [
    { type: 'plan.entries', data: { entries: [{ content: 'look', priority: 'high', status: 'pending' }] } },
  ]);

  const long = { type: 'content', content: { type: 'text', text: 'é'.repeat(40_000) } };
  const [cut] = map({ sessionUpdate: 'tool_call_update', toolCallId: 'c1', content: [long] });
  const output = cut?.type === 'tool.updated' ? (cut.data.output ?? '') : '';
  t.match(output, /^é+\n\[14464 bytes cut\]$/, 'too much output is cut and marked');
  t.equal(Buffer.byteLength(output), 65_536 + '\n[14464 bytes cut]'.length);

  const message = { type: 'text', text: `${'x'.repeat(16_383)}\u{1f600}${'y'.repeat(16_384)}` };
  const pieces = map({ sessionUpdate: 'agent_message_chunk', content: message });
  t.same(
    pieces.map((draft) => (draft.type === 'message.delta' ? draft.data.text.length : 0)),
    [16_383, 16_384, 2],
    'a long text is several events, and no character is split',
  );
  const diff = { type: 'diff', path: 'a', oldText: '', newText: 'x'.repeat(65_536) };
  const [edit] = map({ sessionUpdate: 'tool_call', toolCallId: 'c1', content: new Array(100).fill(diff) });
  t.match(edit, { data: { diff: { length: 4 } } }, 'one event shows so many changes only');

  for (const hostile of [
    ...[undefined, null, 1, 'x', [], {}, { sessionUpdate: 'brand_new' }, { sessionUpdate: 'agent_message_chunk' }],
    ...[{ sessionUpdate: 'agent_message_chunk', content: { type: 'image' } }, { sessionUpdate: 'tool_call' }],
    ...[{ sessionUpdate: 'user_message_chunk', content: { type: 'text', text: 'x' } }],
  ]) {
    t.same(map(hostile), [], `nothing comes of ${JSON.stringify(hostile)}`);
  }
  t.end();
});

t.test('permission requests get the answer of the mode', (t) => {
  const options = [
    { optionId: 'always', name: 'Always', kind: 'allow_always' as const },
    { optionId: 'once', name: 'Once', kind: 'allow_once' as const },
    { optionId: 'no', name: 'No', kind: 'reject_once' as const },
  ];
  const kinds = ['read', 'edit', 'delete', 'move', 'search', 'execute'] as const;
  for (const kind of kinds) {
    const request = { toolCall: { toolCallId: 'c', kind }, options };
    t.equal(decidePermission('write', [], request), 'allow', `write: ${kind}`);
    t.equal(decidePermission('write', kinds, request), 'ask', `write, asked about: ${kind}`);
    t.equal(decidePermission('read', kinds, request), 'reject', `read: ${kind}`);
  }
  for (const kind of ['switch_mode', 'other', 'fetch', 'think', undefined] as const) {
    const toolCall = { toolCallId: 'c', ...(kind ? { kind } : {}) };
    t.equal(decidePermission('write', [], { toolCall, options }), 'reject', `write: ${kind}`);
  }
  t.equal(decidePermission('write', ['other'], { toolCall: { toolCallId: 'c' }, options }), 'ask', 'no kind is other');

  const only = (...kinds: string[]) => options.filter(({ kind }) => kinds.includes(kind));
  const toolCall = { toolCallId: 'c', kind: 'edit' as const };
  const twice = [...options, { optionId: 'once', name: 'Once', kind: 'allow_always' as const }];
  const many = Array.from({ length: 21 }, (_, i) => ({ optionId: `${i}`, name: '', kind: 'allow_once' as const }));
  for (const unclear of [only('allow_always', 'reject_once'), twice, many]) {
    t.equal(
      decidePermission('write', ['edit'], { toolCall, options: unclear }),
      'reject',
      'no clear way to allow once',
    );
  }
  t.same(outcomeOf('allow', options), { outcome: 'selected', optionId: 'once' });
  t.same(outcomeOf('reject', options), { outcome: 'selected', optionId: 'no' });
  t.same(outcomeOf('reject', only('allow_always', 'allow_once')), CANCELED, 'no option says no');
  t.same(outcomeOf('reject', twice), CANCELED);
  t.same(outcomeOf('canceled', options), CANCELED);
  t.end();
});

t.test('a question is whole, without secrets, and hides nothing', (t) => {
  const redact = createRedactor([KEY]).text;
  const ask = (toolCall: object) =>
    questionOf({ sessionId: 's', toolCall: { toolCallId: 'c', kind: 'execute', ...toolCall }, options: [] }, redact);
  const command = `echo ${'x'.repeat(9000)}\n\trm -rf \u202etxt.\u001b[2K\r${KEY}`;
  t.same(ask({ title: command }), {
    tool_call_id: 'c',
    title: `echo ${'x'.repeat(9000)}\\u{a}\\u{9}rm -rf \\u{202e}txt.\\u{1b}[2K\\u{d}[redacted]`,
    kind: 'execute',
    command: `echo ${'x'.repeat(9000)}\n\trm -rf \\u{202e}txt.\\u{1b}[2K\\u{d}[redacted]`,
    options: [],
  });
  t.match(ask({ title: 'Tidy up', rawInput: { command: 'rm -rf /', cwd: '/x' } }), {
    title: 'Tidy up',
    command: 'rm -rf /',
    input: '{"command":"rm -rf /","cwd":"/x"}',
  });
  const paths = Array.from({ length: 150 }, (_, index) => ({ path: `/work/${index}\u200b` }));
  const content = [{ type: 'diff', path: 'a', oldText: null, newText: '\u{e0041}' }];
  const seen = ask({ title: 'Edit', kind: 'edit', locations: paths, content });
  t.same(seen?.locations?.length, 150, 'no place is left out');
  t.match(seen, { locations: [{ path: '/work/0\\u{200b}' }], diff: [{ path: 'a', new_text: '\\u{e0041}' }] });
  t.equal(ask({ title: 'x'.repeat(300_000) }), undefined, 'what is too large to be judged is no question');
  t.equal(ask({ title: ' ' }), undefined, 'nor is what says nothing');
  t.end();
});

t.test('only so many start at once', async (t) => {
  const run = createLimiter(1);
  const first = Promise.withResolvers<void>();
  const order: string[] = [];
  const { signal } = new AbortController();
  const task = (name: string, until?: Promise<void>) => async () => {
    order.push(name);
    await until;
  };
  const running = run(task('a', first.promise), signal);
  const impatient = new AbortController();
  const aborted = run(task('b'), impatient.signal);
  const waiting = run(task('c'), signal);
  impatient.abort(new Error('gave up'));
  await t.rejects(aborted, { message: 'gave up' });
  t.same(order, ['a']);
  first.resolve();
  await Promise.all([running, waiting]);
  await t.rejects(
    run(async () => Promise.reject(new Error('failed')), signal),
    { message: 'failed' },
  );
  await run(task('d'), signal);
  t.same(order, ['a', 'c', 'd'], 'a failed task gives its place back');
});

t.test('what an agent sends in a turn becomes events, in order', async (t) => {
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
    { say: ', it is ' },
    { raw: 'this is no JSON' },
    { update: { sessionUpdate: 'from_the_future', content: 1 } },
    { update: { sessionUpdate: 'tool_call_update', toolCallId: 'late', status: 'failed' } },
    { permission: { toolCall: { toolCallId: 'asked', title: 'rm', kind: 'execute' }, options } },
    { update: { sessionUpdate: 'tool_call', toolCallId: 'asked', status: 'completed' } },
  ]);
  t.equal(turn.said, 'Hello, it is {"outcome":"selected","optionId":"no"}', 'a reader is refused');
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
  t.equal(writer.said, '{"outcome":"selected","optionId":"ok"}', 'a writer may; of a replay nothing is told');
  t.equal(writer.continued, true);
});

t.test('what an agent writes to stderr is told in small doses', async (t) => {
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

t.test('an agent that breaks off or breaks the rules ends the turn with a reason', async (t) => {
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
  t.equal((await play([{ say: 'well again' }])).said, 'well again');
});

t.test('an agent is read no further while its events wait to be written', async (t) => {
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
      // Long enough for whatever was received to be handled.
      for (let turns = 0; turns < 10; turns += 1) await setImmediate();
      waiting = false;
    },
  });
  t.match(turn, { stopReason: 'end_turn' });
  t.ok(waits >= 600, 'each piece of a long text is waited for');
  t.same(early, []);
});

t.test('an agent gets no answer to what is no request, and a short one to unknown requests', async (t) => {
  const { play } = await makeScripted(t);
  const junk = [1, null, [], {}, { id: 7 }, { id: {}, method: 'x' }, { id: 'x'.repeat(300), method: 'x' }];
  const turn = await play([
    ...junk.map((message) => ({ raw: JSON.stringify(message) })),
    // Were these answered, as parts of a batch or each with its own text, the next answers would be others.
    { raw: JSON.stringify([{ jsonrpc: '2.0', id: 'a', method: 'x' }]) },
    { raw: JSON.stringify({ jsonrpc: '2.0', id: 'nobody asked', result: KEY }) },
    {
      request: [
        { id: 'a', method: `fs/${'x'.repeat(100_000)}` },
        { id: 'b', method: 'session/request_permission', params: { options: new Array(101).fill({}) } },
      ],
    },
  ]);
  t.same(JSON.parse(turn.said), [
    { code: -32601, message: 'Method not found' },
    { code: -32602, message: 'Invalid params' },
  ]);
});

t.test('a conversation that cannot be loaded is begun anew', async (t) => {
  const { play } = await makeScripted(t, 'forgetful');
  const turn = await play([{ say: 'who are you' }], { sessionId: 'session-0' });
  t.match(turn, { sessionId: 'session-1', continued: false, transcriptLost: true, said: 'who are you' });
});

t.test('an agent that does not start is not waited for', async (t) => {
  const { play } = await makeScripted(t, 'silent', { AGENT_START_SECONDS: '1' });
  await t.rejects(play([]), { code: 'agent_unavailable', message: /did not start within 1 seconds/ });
  const abort = new AbortController();
  const started = play([], { signal: abort.signal });
  abort.abort();
  await t.rejects(started, { code: 'canceled' });
  await t.rejects(play([], { signal: abort.signal }), { code: 'canceled' }, 'nor started after the abort');
  t.same(descendants(process.pid), []);
});

t.test('ending an agent ends its process', async (t) => {
  const { agents, play } = await makeScripted(t);
  const hang = async (end: () => Promise<void>) => {
    const working = Promise.withResolvers<void>();
    const turn = play([{ say: 'on it' }, { hang: 1 }], { onEvent: () => working.resolve() });
    turn.catch(() => {});
    await working.promise;
    const tree = descendants(process.pid);
    t.ok(tree.length >= 3);
    await t.rejects(play([]), { code: 'ticket_busy' }, 'one turn at a time');
    await end();
    await t.rejects(turn, { code: 'canceled' });
    await allGone(tree);
  };
  await hang(() => agents.closeTicket('T-1'));
  await play([{ say: 'idle now' }]);
  t.not(descendants(process.pid).length, 0, 'an idle reader is kept');
  await play([{ say: 'done' }], { mode: 'write', sessionId: 'session-1' });
  t.same(descendants(process.pid), [], 'a writer is not');
  await hang(() => agents.close());
  await t.rejects(play([]), { code: 'shutting_down' });
});

t.test('a writer that fills the disk is ended', async (t) => {
  const { play } = await makeScripted(t, 'none', { MAX_WORKSPACE_MB: '5' });
  await t.rejects(play([{ fill: 20 * 1024 * 1024 }, { hang: 1 }], { mode: 'write' }), {
    code: 'workspace_too_large',
    message: /^The workspace has grown to \d+ MiB; the limit is 5 MiB \(MAX_WORKSPACE_MB\)\.$/,
  });
  t.same(descendants(process.pid), []);
  await t.rejects(play([{ hang: 1 }], { mode: 'write' }), { code: 'workspace_too_large' }, 'nor goes on later');
  t.equal((await play([{ say: 'I only read' }])).said, 'I only read');
});

t.test('an idle agent is ended when its time is over', async (t) => {
  const { play } = await makeScripted(t, 'none', { AGENT_IDLE_SECONDS: '0' });
  await play([{ say: 'hello' }]);
  await allGone(descendants(process.pid));
});

t.test('an agent is named by one of the definitions', async (t) => {
  const { agents, play } = await makeScripted(t);
  t.ok(agents.has('scripted'));
  t.notOk(agents.has('gemini'));
  await t.rejects(play([], { agent: 'gemini' }), { code: 'agent_not_found' });
});
