import { ANYWHERE, AT_LINE_START, COMMIT_NAME, MAX_INERT_DIGITS } from './trigger-words.ts';

/**
 * Turns words of a model, an agent, a ticket or a repository into text that a person can read and on which nothing at
 * GitHub acts. All such words pass here, for commits as for pull requests: a squash makes the text of a pull request
 * the message of a commit, so there is one form for both. It holds as it is written and as Markdown shows it, and
 * whatever a parser takes for code.
 */

/**
 * MIDDLE DOT, inserted where a word would act: `@·octocat`, `#·12`, `sk·ip ci`. It is visible, so that nobody takes the text
 * for the original. Markdown, git and CI systems give it no meaning. Nothing removes it later: NFKC keeps it
 * (https://unicode.org/reports/tr15/), and it is neither a space nor a character without width, which some systems remove.
 */
const BREAK = '\u00b7';

const EVERYWHERE = [...ANYWHERE, ...AT_LINE_START];

/** Masks the secrets of the server. Called before a break could split one, and hide it from a later mask. */
export type Redact = (text: string) => string;

/**
 * Makes foreign text inert as one line that begins with words of the server, such as `REL-123: Round half up`.
 * @param max UTF-16 units; what is longer is cut
 */
export function inertLine(text: string, redact: Redact, max: number): string {
  return oneLine(text, redact, max, ANYWHERE);
}

/** Makes foreign text inert as a whole line of at most `max` UTF-16 units, such as an item of a list. */
export function inertItem(text: string, redact: Redact, max: number): string {
  return oneLine(text, redact, max, EVERYWHERE);
}

function oneLine(text: string, redact: Redact, max: number, patterns: readonly RegExp[]): string {
  const words = redact(readable(text)).replace(/\s+/g, ' ').trim();
  const line = broken(words.slice(0, max + 1), patterns);
  return line.length <= max ? line : `${line.slice(0, max - 1).trimEnd()}…`.toWellFormed();
}

/**
 * Makes foreign text inert as a quotation (`> `) of at most `max` UTF-16 units, for Markdown and plain text. Nothing in it
 * can leave the quotation, and no line of it can begin with a trailer or a command. A longer one is cut after a line.
 * @returns an empty string for an empty text
 */
export function inertQuote(text: string, redact: Redact, max: number): string {
  const words = redact(readable(text)).trim().slice(0, max);
  if (words === '') return '';
  const lines = broken(words, EVERYWHERE).split('\n');
  const quotation = lines.map(quoted).join('\n');
  return quotation.length <= max ? quotation : cut(quotation, max);
}

function quoted(line: string): string {
  return line === '' ? '>' : `> ${line}`;
}

function cut(quotation: string, max: number): string {
  const note = '\n\n(Cut here; the whole text is kept with the ticket.)';
  const start = quotation.slice(0, Math.max(0, max - note.length));
  const line = start.lastIndexOf('\n');
  return (line > 0 ? start.slice(0, line) : start).toWellFormed() + note;
}

const LINE_ENDS = /\r\n?|[\v\f\u0085\u2028\u2029]/g;
/** Joiners within an emoji or a word of a script that has them: they are part of what is seen. */
const JOINED = String.raw`[[\p{L}\p{M}\p{Extended_Pictographic}\ufe0f\u{1f3fb}-\u{1f3ff}]--\p{ASCII}]`;
const JOINERS = String.raw`(?<=\p{Extended_Pictographic})\ufe0f|(?<=${JOINED})[\u200c\u200d](?=${JOINED})`;
const UNSEEN = /[\p{Default_Ignorable_Code_Point}\p{Bidi_Control}\ufff9-\ufffb[\p{Cc}--[\n\t]]]/gv;
const UNSEEN_OR_JOINER = new RegExp(`(${JOINERS})|${UNSEEN.source}`, 'gv');

/** The text without what hides or reorders it: controls, directions of writing, characters without width. */
function readable(text: string): string {
  return text.toWellFormed().replace(LINE_ENDS, '\n').replace(UNSEEN_OR_JOINER, '$1');
}

/** What Markdown takes away: a backslash before a character, and the marks of emphasis and code. */
const MARKS = new Set(['\\', '*', '_', '~', '`']);

function broken(text: string, patterns: readonly RegExp[]): string {
  const written = view(text, new Set());
  const shown = view(text, MARKS);
  const places = new Set([...breaksIn(written, patterns), ...breaksIn(shown, patterns)]);
  let inert = '';
  let from = 0;
  for (const place of [...places].sort((one, other) => one - other)) {
    // Words that are inert already stay as they are.
    if (text.startsWith(BREAK, place)) continue;
    inert += text.slice(from, place) + BREAK;
    from = place;
  }
  return inert + text.slice(from);
}

/** A text in its NFKC form, and for each of its UTF-16 units the place in the original behind what it was made of. */
type View = { seen: string; ends: readonly number[] };

function view(text: string, hidden: ReadonlySet<string>): View {
  let seen = '';
  let place = 0;
  const ends: number[] = [];
  for (const character of text) {
    place += character.length;
    const folded = character < '\u0080' ? character : character.normalize('NFKC').replace(UNSEEN, '');
    if (hidden.has(folded)) continue;
    seen += folded;
    for (let unit = 0; unit < folded.length; unit += 1) ends.push(place);
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
