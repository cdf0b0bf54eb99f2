import { structuredPatch } from 'diff';

/** One line of a diff, with its line numbers (from 1) in the old and the new text. A `hunk` is the heading of a section. */
export type Line = { kind: 'add' | 'del' | 'same' | 'hunk'; text: string; old?: number; new?: number };

/**
 * Reads the unified diff of git, file by file. A change of type, such as from a file to a link, is two sections with the same
 * first line; both belong to one file.
 */
export function readPatch(patch: string): Line[][] {
  const files: Line[][] = [];
  let lines: Line[] = [];
  let first = '';
  let readLine: ((text: string) => Line[]) | undefined;
  for (const text of patch.split('\n')) {
    const hunk = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@/.exec(text);
    if (text.startsWith('diff --git ')) {
      if (text !== first) {
        lines = [];
        files.push(lines);
      }
      first = text;
      readLine = undefined;
    } else if (hunk !== null) {
      readLine = lineReader(Number(hunk[1]), Number(hunk[2]));
      lines.push({ kind: 'hunk', text });
    } else if (readLine !== undefined) lines.push(...readLine(text));
  }
  return files;
}

/** Lines around each change. */
const CONTEXT = 3;

/** The time of a comparison grows with the square of this number. Beyond it, all lines count as replaced. */
const MAX_CHANGED_LINES = 1000;

/** Compares two texts line by line. A newline at the end makes no difference. Returns `[]` for equal texts. */
export function compareTexts(before: string, after: string): Line[] {
  const [old, current] = [withFinalNewline(before), withFinalNewline(after)];
  const options = { context: CONTEXT, maxEditLength: MAX_CHANGED_LINES };
  const patch = structuredPatch('', '', old, current, '', '', options);
  if (patch === undefined) return replaced(old, current);
  return patch.hunks.flatMap(({ oldStart, newStart, lines }): Line[] => [
    ...(newStart > 1 ? [{ kind: 'hunk', text: `Line ${newStart}` } as const] : []),
    ...lines.flatMap(lineReader(oldStart, newStart)),
  ]);
}

function withFinalNewline(text: string): string {
  return text === '' || text.endsWith('\n') ? text : `${text}\n`;
}

function replaced(before: string, after: string): Line[] {
  const read = lineReader(1, 1);
  const linesOf = (text: string) => (text === '' ? [] : text.slice(0, -1).split('\n'));
  return [...linesOf(before).map((line) => `-${line}`), ...linesOf(after).map((line) => `+${line}`)].flatMap(read);
}

/** Creates a reader that numbers the lines of a hunk. It skips "\ No newline at end of file". */
function lineReader(oldStart: number, newStart: number): (text: string) => Line[] {
  let [oldLine, newLine] = [oldStart, newStart];
  return (signed) => {
    const text = signed.slice(1);
    if (signed.startsWith('+')) return [{ kind: 'add', text, new: newLine++ }];
    if (signed.startsWith('-')) return [{ kind: 'del', text, old: oldLine++ }];
    return signed.startsWith(' ') ? [{ kind: 'same', text, old: oldLine++, new: newLine++ }] : [];
  };
}
