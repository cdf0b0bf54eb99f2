import t from 'tap';
import { mapUpdate } from '../../../src/agents/acp/updates.ts';
import { createRedactor } from '../../../src/redaction/redactor.ts';

const KEY = 'AIzaSyStandInKey0123456789';

t.test('mapUpdate() maps known updates to events, and ignores others', (t) => {
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
  t.match(output, /^é+\n\[14464 bytes cut\]$/, 'long output is cut, and the cut is marked');
  t.equal(Buffer.byteLength(output), 65_536 + '\n[14464 bytes cut]'.length);

  const message = { type: 'text', text: `${'x'.repeat(16_383)}\u{1f600}${'y'.repeat(16_384)}` };
  const pieces = map({ sessionUpdate: 'agent_message_chunk', content: message });
  t.same(
    pieces.map((draft) => (draft.type === 'message.delta' ? draft.data.text.length : 0)),
    [16_383, 16_384, 2],
    'a long text becomes several events without a split character',
  );
  const diff = { type: 'diff', path: 'a', oldText: '', newText: 'x'.repeat(65_536) };
  const [edit] = map({ sessionUpdate: 'tool_call', toolCallId: 'c1', content: new Array(100).fill(diff) });
  t.match(edit, { data: { diff: { length: 4 } } }, 'an event contains a limited number of changes');

  for (const hostile of [
    ...[undefined, null, 1, 'x', [], {}, { sessionUpdate: 'brand_new' }, { sessionUpdate: 'agent_message_chunk' }],
    ...[{ sessionUpdate: 'agent_message_chunk', content: { type: 'image' } }, { sessionUpdate: 'tool_call' }],
    ...[{ sessionUpdate: 'user_message_chunk', content: { type: 'text', text: 'x' } }],
  ]) {
    t.same(map(hostile), [], `${JSON.stringify(hostile)} maps to no event`);
  }
  t.end();
});
