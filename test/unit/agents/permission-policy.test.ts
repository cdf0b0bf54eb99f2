import t from 'tap';
import { CANCELED, decidePermission, outcomeOf, questionOf } from '../../../src/agents/acp/permission-policy.ts';
import { createRedactor } from '../../../src/redaction/redactor.ts';

const KEY = 'AIzaSyStandInKey0123456789';

t.test('decidePermission() decides by mode, kind and options', (t) => {
  const options = [
    { optionId: 'always', name: 'Always', kind: 'allow_always' as const },
    { optionId: 'once', name: 'Once', kind: 'allow_once' as const },
    { optionId: 'no', name: 'No', kind: 'reject_once' as const },
  ];
  const kinds = ['read', 'edit', 'delete', 'move', 'search', 'execute'] as const;
  for (const kind of kinds) {
    const request = { toolCall: { toolCallId: 'c', kind }, options };
    t.equal(decidePermission('write', [], request), 'allow', `write: ${kind}`);
    t.equal(decidePermission('write', kinds, request), 'ask', `write, in ASK_PERMISSION: ${kind}`);
    t.equal(decidePermission('read', kinds, request), 'reject', `read: ${kind}`);
  }
  for (const kind of ['switch_mode', 'other', 'fetch', 'think', undefined] as const) {
    const toolCall = { toolCallId: 'c', ...(kind ? { kind } : {}) };
    t.equal(decidePermission('write', [], { toolCall, options }), 'reject', `write: ${kind}`);
  }
  t.equal(
    decidePermission('write', ['other'], { toolCall: { toolCallId: 'c' }, options }),
    'ask',
    'a call without a kind has the kind other',
  );

  const only = (...kinds: string[]) => options.filter(({ kind }) => kinds.includes(kind));
  const toolCall = { toolCallId: 'c', kind: 'edit' as const };
  const twice = [...options, { optionId: 'once', name: 'Once', kind: 'allow_always' as const }];
  const many = Array.from({ length: 21 }, (_, i) => ({ optionId: `${i}`, name: '', kind: 'allow_once' as const }));
  for (const ambiguous of [only('allow_always', 'reject_once'), twice, many]) {
    t.equal(
      decidePermission('write', ['edit'], { toolCall, options: ambiguous }),
      'reject',
      'no unambiguous option to allow once',
    );
  }
  t.same(outcomeOf('allow', options), { outcome: 'selected', optionId: 'once' });
  t.same(outcomeOf('reject', options), { outcome: 'selected', optionId: 'no' });
  t.same(outcomeOf('reject', only('allow_always', 'allow_once')), CANCELED, 'no option rejects');
  t.same(outcomeOf('reject', twice), CANCELED);
  t.same(outcomeOf('canceled', options), CANCELED);
  t.end();
});

t.test('questionOf() shows a tool call in full, without secrets and invisible characters', (t) => {
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
  const question = ask({ title: 'Edit', kind: 'edit', locations: paths, content });
  t.same(question?.locations?.length, 150, 'every location is included');
  t.match(question, { locations: [{ path: '/work/0\\u{200b}' }], diff: [{ path: 'a', new_text: '\\u{e0041}' }] });
  t.equal(ask({ title: 'x'.repeat(300_000) }), undefined, 'a tool call too large for a review is no question');
  t.equal(ask({ title: ' ' }), undefined, 'an empty title is no question');
  t.end();
});
