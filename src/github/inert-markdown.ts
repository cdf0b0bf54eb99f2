/** Separates characters without being seen: what GitHub would act on becomes text that looks the same. */
const BREAK = '\u200b';

const HIDING = /[\u200b\u2060\ufeff\u202a-\u202e\u2066-\u2069\u{e0000}-\u{e007f}]/gu;
const CONTROLS = /(?![\n\t])\p{Cc}/gu;

/**
 * Markdown by an agent or a client that GitHub may show but shall not act on. It stays formatted, but has no HTML, image,
 * footnote, alert, mention, word that closes an issue, comment, or character that hides or reorders text.
 * Works on the characters alone, so it holds whatever a Markdown parser takes for code.
 */
export function inertMarkdown(text: string): string {
  const seen = text.replace(/\r\n?/g, '\n').replace(HIDING, '').replace(CONTROLS, '');
  return withoutComments(seen)
    .replace(/<(?=[a-z/!?])/gi, `<${BREAK}`)
    .replace(/!(?=\[)/g, `!${BREAK}`)
    .replace(/\[(?=[\^!])/g, `[${BREAK}`)
    .replace(/(?<!\w)@(?=\w)/g, `@${BREAK}`)
    .replace(
      /\b(close|closes|closed|fix|fixes|fixed|resolve|resolves|resolved)(?=:?\s+\S*(?:#|gh-|https?:))/gi,
      breakWord,
    )
    .toWellFormed();
}

/** The same as a block quotation, which nothing in it can leave. */
export function quotedMarkdown(text: string): string {
  const lines = inertMarkdown(text).trim().split('\n');
  return lines.map((line) => (line === '' ? '>' : `> ${line}`)).join('\n');
}

/** In one pass: a pattern for this takes quadratic time on comments that are never closed. */
function withoutComments(text: string): string {
  const pieces = text.split('-->');
  const last = pieces.pop() ?? '';
  const kept = pieces.map((piece) => {
    const start = piece.indexOf('<!--');
    return start === -1 ? `${piece}-->` : piece.slice(0, start);
  });
  return kept.join('') + last;
}

function breakWord(word: string): string {
  return word.slice(0, 1) + BREAK + word.slice(1);
}
