import { ANYWHERE, AT_LINE_START, COMMIT_NAME, MAX_INERT_DIGITS } from './trigger-words.ts';

/**
 * Makes text of a model, an agent, a ticket or a repository inert: a person can read it, and it triggers nothing at GitHub.
 * Commits and pull requests get the same form, since a squash makes the text of a pull request a commit message. The text is
 * inert both as plain text and as rendered Markdown.
 */

/**
 * MIDDLE DOT, inserted into trigger words: `@·octocat`, `#·12`, `sk·ip ci`. It is visible, so the text is not mistaken for
 * the original, and has no meaning in Markdown, git and CI systems. NFKC keeps it (https://unicode.org/reports/tr15/). It is
 * neither a space nor of zero width, so no system strips it.
 */
const BREAK = '\u00b7';

const EVERYWHERE = [...ANYWHERE, ...AT_LINE_START];

/** Redacts the secrets of the server. It runs before a break could split a secret, which would hide it from redaction. */
export type Redact = (text: string) => string;

/**
 * Makes foreign text inert as one line after words of the server, such as `REL-123: Round half up`.
 * @param max UTF-16 units, after which the text is cut
 */
export function inertLine(text: string, redact: Redact, max: number): string {
  return oneLine(text, redact, max, ANYWHERE);
}

/** Makes foreign text inert as a whole line of at most `max` UTF-16 units, such as a list item. */
export function inertItem(text: string, redact: Redact, max: number): string {
  return oneLine(text, redact, max, EVERYWHERE);
}

function oneLine(text: string, redact: Redact, max: number, patterns: readonly RegExp[]): string {
  const words = redact(withoutHidden(text)).replace(/\s+/g, ' ').trim();
  const line = withBreaks(words.slice(0, max + 1), patterns);
  return line.length <= max ? line : `${line.slice(0, max - 1).trimEnd()}…`.toWellFormed();
}

/**
 * Makes foreign text inert as a quotation (`> `) of at most `max` UTF-16 units, for Markdown and plain text. No text can
 * leave the quotation, and no line can begin with a trailer or a command. A longer quotation is cut after a line.
 * @returns an empty string for an empty text
 */
export function inertQuote(text: string, redact: Redact, max: number): string {
  const words = redact(withoutHidden(text)).trim().slice(0, max);
  if (words === '') return '';
  const lines = withBreaks(words, EVERYWHERE).split('\n');
  const quotation = lines.map(quoteLine).join('\n');
  return quotation.length <= max ? quotation : truncate(quotation, max);
}

function quoteLine(line: string): string {
  return line === '' ? '>' : `> ${line}`;
}

function truncate(quotation: string, max: number): string {
  const note = '\n\n(Cut here; the ticket has the whole text.)';
  const start = quotation.slice(0, Math.max(0, max - note.length));
  const line = start.lastIndexOf('\n');
  return (line > 0 ? start.slice(0, line) : start).toWellFormed() + note;
}

const LINE_ENDS = /\r\n?|[\v\f\u0085\u2028\u2029]/g;
/** Joiners within an emoji, or within a word of a script that has them: these are visible. */
const JOINED = String.raw`[[\p{L}\p{M}\p{Extended_Pictographic}\ufe0f\u{1f3fb}-\u{1f3ff}]--\p{ASCII}]`;
const JOINERS = String.raw`(?<=\p{Extended_Pictographic})\ufe0f|(?<=${JOINED})[\u200c\u200d](?=${JOINED})`;
const HIDDEN = /[\p{Default_Ignorable_Code_Point}\p{Bidi_Control}\ufff9-\ufffb[\p{Cc}--[\n\t]]]/gv;
const HIDDEN_OR_JOINER = new RegExp(`(${JOINERS})|${HIDDEN.source}`, 'gv');

/** Removes characters that hide or reorder text: controls, writing directions, zero-width characters. */
function withoutHidden(text: string): string {
  return text.toWellFormed().replace(LINE_ENDS, '\n').replace(HIDDEN_OR_JOINER, '$1');
}

/** Characters that Markdown does not show: backslash escapes, and the marks of emphasis and code. */
const MARKS = new Set(['\\', '*', '_', '~', '`']);

function withBreaks(text: string, patterns: readonly RegExp[]): string {
  const plain = view(text, new Set());
  const rendered = view(text, MARKS);
  const offsets = new Set([...breaksIn(plain, patterns), ...breaksIn(rendered, patterns)]);
  let inert = '';
  let from = 0;
  for (const offset of [...offsets].sort((one, other) => one - other)) {
    // The word is inert already.
    if (text.startsWith(BREAK, offset)) continue;
    inert += text.slice(from, offset) + BREAK;
    from = offset;
  }
  return inert + text.slice(from);
}

/** A text in NFKC form. `ends` has, for each UTF-16 unit, the end of its original character in the original text. */
type View = { seen: string; ends: readonly number[] };

function view(text: string, hidden: ReadonlySet<string>): View {
  let seen = '';
  let offset = 0;
  const ends: number[] = [];
  for (const character of text) {
    offset += character.length;
    const folded = character < '\u0080' ? character : character.normalize('NFKC').replace(HIDDEN, '');
    if (hidden.has(folded)) continue;
    seen += folded;
    for (let unit = 0; unit < folded.length; unit += 1) ends.push(offset);
  }
  return { seen, ends };
}

function breaksIn({ seen, ends }: View, patterns: readonly RegExp[]): number[] {
  const words = patterns.flatMap((pattern) =>
    [...seen.matchAll(pattern)].map(({ 0: word, index }) => index + word.length),
  );
  const commits = [...seen.matchAll(COMMIT_NAME)].flatMap(({ 0: digits, index }) => {
    if (!/\d/.test(digits) || !/[a-f]/i.test(digits)) return [];
    const pieces = Math.ceil(digits.length / MAX_INERT_DIGITS) - 1;
    return Array.from({ length: pieces }, (_, piece) => index + (piece + 1) * MAX_INERT_DIGITS);
  });
  return [...words, ...commits].flatMap((end) => ends[end - 1] ?? []);
}
