import type { Script, ToolCall, Turn } from './gemini-script.ts';

/** The ticket of the demo: a real bug of `sample/`, for which one of its tests fails. */
export const ticket = {
  ticket_id: 'REL-123',
  title: 'A length just under an hour is shown as “59 min 60 s”',
  description: [
    'Our export page said “took 59 min 60 s” last night. The job had taken 3,599.6 seconds, so we expected “1 h”.',
    '',
    'It happens in `format`. Lengths of whole seconds look right.',
  ].join('\n'),
};

export const chatMessage = 'Where does “59 min 60 s” come from? Are other units affected, too?';

const CHAT: Turn[] = [
  {
    thought: '**Finding the formatter**\nThe text is written somewhere below src; rounding is the likely culprit.',
    text: 'Let me look at how durations are formatted.\n\n',
    calls: [
      call('read_file', { file_path: 'src/format.ts' }),
      call('grep_search', { pattern: 'Math\\.(round|floor)', dir_path: 'src' }),
    ],
  },
  {
    thought: '**Following 3,599.6 s through it**\n59 whole minutes leave 59.6 seconds, and that is rounded to 60.',
    ...stream(`It comes from \`format\` in \`src/format.ts\`, lines 18 to 23.

It splits the length from the largest unit down, with \`Math.floor\` for every unit but the last and \`Math.round\` for
the last one. 3,599.6 s gives 59 min, and the remaining 59.6 s round up to 60 s. The minutes are already written by then,
so nothing carries over.

Other units are affected, too. Any last unit can fill up:

- \`format(86_399_000)\` gives \`23 h 60 min\` instead of \`1 d\`.
- \`format(59_600, { parts: 1 })\` gives \`60 s\` instead of \`1 min\`.

\`formatIso\` in \`src/iso.ts\` never rounds, so it is not affected.`),
  },
];

const PLAN: Turn[] = [
  {
    thought: '**Studying the code and its tests**\nI need the rounding code, and the behaviour that the tests fix.',
    text: 'I will read the formatter and its tests first.\n\n',
    calls: [call('read_file', { file_path: 'src/format.ts' }), call('read_file', { file_path: 'test/format.test.ts' })],
  },
  {
    text: 'Next, the code that depends on it.\n\n',
    calls: [call('grep_search', { pattern: 'shownUnits|format\\(', dir_path: 'src' })],
  },
  {
    thought: '**Choosing the fix**\nRounding before splitting makes every carry happen automatically.',
    ...stream(`# Carry over when rounding fills the last unit

## Goal

\`format\` never shows a full unit: 3,599.6 s is \`1 h\`, not \`59 min 60 s\`.

## Files to change

- \`src/format.ts\`: \`format\`, and a new function \`rounded\`
- \`test/format.test.ts\`: the carry for other units and for one part

## Steps

1. Add \`rounded(length, parts)\` to \`src/format.ts\`: the length, rounded to the smallest shown unit.
2. In \`format\`, round the length first. Choose the units for the rounded length, because it may reach a larger one.
3. Split it with \`Math.floor\` throughout; the last unit is already whole.
4. Add tests for minutes that fill an hour of a day, and for \`parts: 1\`.

## Tests

- \`carries into the next unit when rounding fills the last one\`, which fails today, passes.
- \`format(86_399_000)\` is \`1 d\`; \`format(59_600, { parts: 1 })\` is \`1 min\`.
- All others pass unchanged: \`node --test\`.

## Risks

- A length that carries may show fewer units than before (\`1 h\`), as the ticket expects.
- Lengths of less than half a millisecond stay \`0 s\`; \`rounded\` must not divide by a missing unit.`),
  },
];

const DEV: Turn[] = [
  {
    thought: '**Starting with the plan**\nSteps 1 and 2 are in src/format.ts; I read it again before editing.',
    text: 'I will implement the plan, starting with the formatter.\n\n',
    calls: [call('read_file', { file_path: 'src/format.ts' })],
  },
  {
    calls: [
      call('replace', {
        file_path: 'src/format.ts',
        instruction: 'Round the whole length before splitting it, so that a full unit carries over.',
        old_string: `  const length = Math.abs(duration);
  const units = shownUnits(length, parts);

  let rest = length;
  const words = units.map((unit, index) => {
    const exact = rest / unit.milliseconds;
    const count = index === units.length - 1 ? Math.round(exact) : Math.floor(exact);
    rest -= count * unit.milliseconds;
`,
        new_string: `  const length = rounded(Math.abs(duration), parts);

  let rest = length;
  const words = shownUnits(length, parts).map((unit) => {
    const count = Math.floor(rest / unit.milliseconds);
    rest -= count * unit.milliseconds;
`,
      }),
    ],
  },
  {
    calls: [
      call('replace', {
        file_path: 'src/format.ts',
        instruction: 'Add the function that rounds to the smallest unit shown.',
        old_string: '/** Returns the largest unit that fits, and the units below it. */\n',
        new_string: `/** Rounds a length to the smallest shown unit, so that a full unit carries over. */
function rounded(length: number, parts: number): number {
  const smallest = shownUnits(length, parts).at(-1)?.milliseconds ?? 1;
  return Math.round(length / smallest) * smallest;
}

/** Returns the largest unit that fits, and the units below it. */
`,
      }),
    ],
  },
  {
    text: 'Now the tests of the plan.\n\n',
    calls: [
      call('replace', {
        file_path: 'test/format.test.ts',
        instruction: 'Add tests for the carry with other units and with one part.',
        old_string: `  assert.equal(format(3_599_600), '1 h');
});
`,
        new_string: `  assert.equal(format(3_599_600), '1 h');
});

test('carries through every unit, and with one part', () => {
  assert.equal(format(86_399_000), '1 d');
  assert.equal(format(604_799_999), '1 w');
  assert.equal(format(59_600, { parts: 1 }), '1 min');
});
`,
      }),
    ],
  },
  { calls: [call('run_shell_command', { command: 'node --test', description: 'Run the tests.' })] },
  stream(`\`format\` now rounds the whole length to the smallest shown unit before it splits it, so a full unit carries over:
3,599.6 s is \`1 h\`, and 23 h 59 min 59 s is \`1 d\`.

- \`src/format.ts\`: the new function \`rounded\`; \`format\` then only takes whole units.
- \`test/format.test.ts\`: the carry through every unit, and with \`parts: 1\`.

I ran \`node --test\`: all 18 tests pass, including the one that failed before. Reviewers may want to look at the call of
\`shownUnits\` with the rounded length, which turns \`59 min 60 s\` into \`1 h\` with one part less.`),
];

/** Scripts of a model that works on the ticket. Prompts name the action on its own line, and the ticket below. */
export const sampleScripts: Script[] = [
  { match: /^Action: chat$.*\bREL-123\b/ms, turns: CHAT },
  { match: /^Action: make_plan$.*\bREL-123\b/ms, turns: PLAN },
  { match: /^Action: dev$.*\bREL-123\b/ms, turns: DEV },
];

function call(name: string, args: ToolCall['args']): ToolCall {
  return { name, args };
}

/** Streams a text in chunks of a few words, like a fast model. */
function stream(text: string): Turn {
  return { text: text.match(/\s*\S+(?:\s+\S+){0,5}/g) ?? [], delayMs: 10 };
}
