import t from 'tap';
import { compareTexts, readPatch } from '../../../dashboard/lib/diff.ts';

const numbered = (count: number, word: string) => Array.from({ length: count }, (_, at) => `${word} ${at + 1}`);
const summary = (before: string, after: string) =>
  compareTexts(before, after).map(({ kind, text, old, new: current }) => [kind, text, old, current]);

t.test('compareTexts numbers the lines and adds three lines of context', async (t) => {
  const before = numbered(20, 'line');
  const after = before.with(9, 'changed');
  t.strictSame(summary(before.join('\n'), after.join('\n')), [
    ['hunk', 'Line 7', undefined, undefined],
    ['same', 'line 7', 7, 7],
    ['same', 'line 8', 8, 8],
    ['same', 'line 9', 9, 9],
    ['del', 'line 10', 10, undefined],
    ['add', 'changed', undefined, 10],
    ['same', 'line 11', 11, 11],
    ['same', 'line 12', 12, 12],
    ['same', 'line 13', 13, 13],
  ]);
});

t.test('compareTexts ignores a newline at the end, and an empty text has no line', async (t) => {
  t.strictSame(summary('one\n', 'one'), []);
  t.strictSame(summary('', ''), []);
  t.strictSame(summary('', 'one\ntwo'), [
    ['add', 'one', undefined, 1],
    ['add', 'two', undefined, 2],
  ]);
});

t.test('compareTexts replaces all lines when too many differ', async (t) => {
  const [before, after] = [
    ['same', ...numbered(2000, 'old')],
    ['same', ...numbered(2000, 'new')],
  ];
  const lines = compareTexts(before.join('\n'), after.join('\n'));
  t.equal(lines.filter(({ kind }) => kind === 'del').length, 2001);
  t.equal(lines.filter(({ kind }) => kind === 'add').length, 2001);
});

t.test('readPatch returns one entry a file, also for a file without lines', async (t) => {
  const patch = [
    'diff --git a/moved b/moved-here',
    'similarity index 100%',
    'diff --git a/src/a.ts b/src/a.ts',
    '--- a/src/a.ts',
    '+++ b/src/a.ts',
    '@@ -4,2 +4,2 @@ function a()',
    ' kept',
    '-old',
    '+new',
    '\\ No newline at end of file',
    '',
  ].join('\n');
  t.strictSame(readPatch(patch), [
    [],
    [
      { kind: 'hunk', text: '@@ -4,2 +4,2 @@ function a()' },
      { kind: 'same', text: 'kept', old: 4, new: 4 },
      { kind: 'del', text: 'old', old: 5 },
      { kind: 'add', text: 'new', new: 5 },
    ],
  ]);
});
