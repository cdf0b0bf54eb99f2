export type Line = { kind: 'add' | 'del' | 'same' | 'hunk'; text: string; old?: number; now?: number };

/**
 * The lines of each file of a unified diff as git writes it, in its order. What has changed its type, such as a file that
 * became a link, is told by two sections with the same first line.
 */
export function readPatch(patch: string): Line[][] {
  const files: Line[][] = [];
  let lines: Line[] = [];
  let first = '';
  let [old, now, inHunk] = [0, 0, false];
  for (const text of patch.split('\n')) {
    const hunk = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@/.exec(text);
    if (text.startsWith('diff --git ')) {
      if (text !== first) {
        lines = [];
        files.push(lines);
      }
      [first, inHunk] = [text, false];
    } else if (hunk !== null) {
      [old, now, inHunk] = [Number(hunk[1]), Number(hunk[2]), true];
      lines.push({ kind: 'hunk', text });
    } else if (!inHunk) continue;
    else if (text.startsWith('+')) lines.push({ kind: 'add', text: text.slice(1), now: now++ });
    else if (text.startsWith('-')) lines.push({ kind: 'del', text: text.slice(1), old: old++ });
    else if (text.startsWith(' ')) lines.push({ kind: 'same', text: text.slice(1), old: old++, now: now++ });
  }
  return files;
}

const CONTEXT = 3;

/** Tables beyond this size are not made: then all that differs counts as replaced. */
const LARGEST_TABLE = 1_000_000;

/** What became of a text, line by line, with three lines around each change. */
export function compareTexts(before: string, after: string): Line[] {
  const [a, b] = [linesOf(before), linesOf(after)];
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a.at(-1 - end) === b.at(-1 - end)) end++;
  const same = (text: string, old: number, now: number): Line => ({ kind: 'same', text, old: old + 1, now: now + 1 });
  const lines = [
    ...a.slice(0, start).map((text, index) => same(text, index, index)),
    ...compareMiddle(a.slice(start, a.length - end), b.slice(start, b.length - end), start),
    ...a.slice(a.length - end).map((text, index) => same(text, a.length - end + index, b.length - end + index)),
  ];
  return aroundChanges(lines);
}

/** An empty text has no line, and the end of the last line begins no other. */
function linesOf(text: string): string[] {
  return text === '' ? [] : text.replace(/\n$/, '').split('\n');
}

/** By the longest common subsequence of lines. */
function compareMiddle(a: string[], b: string[], offset: number): Line[] {
  const lines: Line[] = [];
  const width = b.length + 1;
  const table = a.length * b.length > LARGEST_TABLE ? undefined : new Uint32Array((a.length + 1) * width);
  const at = (i: number, j: number) => table?.[i * width + j] ?? 0;
  if (table !== undefined) {
    for (let i = a.length - 1; i >= 0; i--) {
      for (let j = b.length - 1; j >= 0; j--) {
        table[i * width + j] = a[i] === b[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
      }
    }
  }
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    const [left, right] = [a[i], b[j]];
    if (table !== undefined && left !== undefined && left === right) {
      lines.push({ kind: 'same', text: left, old: offset + ++i, now: offset + ++j });
    } else if (left !== undefined && (right === undefined || at(i + 1, j) >= at(i, j + 1))) {
      lines.push({ kind: 'del', text: left, old: offset + ++i });
    } else if (right !== undefined) lines.push({ kind: 'add', text: right, now: offset + ++j });
  }
  return lines;
}

function aroundChanges(lines: Line[]): Line[] {
  const near = new Set<number>();
  for (const [index, { kind }] of lines.entries()) {
    if (kind === 'same') continue;
    for (let around = index - CONTEXT; around <= index + CONTEXT; around++) near.add(around);
  }
  const shown: Line[] = [];
  let last = -1;
  for (const [index, line] of lines.entries()) {
    if (!near.has(index)) continue;
    if (index > last + 1) shown.push({ kind: 'hunk', text: `Line ${line.now ?? line.old ?? index + 1}` });
    shown.push(line);
    last = index;
  }
  return shown;
}
