import t from 'tap';
import { createClashFinder } from '../../../src/workspaces/scan/path-clashes.ts';

t.test('createClashFinder() returns the earlier path when a file system could confuse both', async (t) => {
  const findClash = createClashFinder();
  const tree = [
    'A',
    'A/y',
    'README',
    'Readme',
    'a',
    'a/x',
    'b',
    'b/C',
    'b/C/d',
    'b/c',
    'same',
    'same2',
    'é',
    'e\u0301',
  ];
  t.strictSame(
    tree.flatMap((path) => (findClash(path) === undefined ? [] : [[findClash(path), path]])),
    [
      ['README', 'Readme'],
      ['A', 'a'],
      ['b/C', 'b/c'],
      ['é', 'e\u0301'],
    ],
  );
});
