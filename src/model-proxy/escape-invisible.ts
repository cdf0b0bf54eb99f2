/** Controls, line separators, writing directions, and characters without width such as variation selectors and tags. */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;
const LAYOUT = new Set(['\n', '\t']);

/** Replaces characters that could hide text by an escape such as `\u{1b}`. Keeps line breaks and tabs. */
export function visibleText(text: string): string {
  return text
    .toWellFormed()
    .replace(INVISIBLE, (character) => (LAYOUT.has(character) ? character : escaped(character)));
}

/** Also escapes line breaks and tabs. */
export function visibleLine(text: string): string {
  return visibleText(text).replace(/[\n\t]/g, escaped);
}

function escaped(character: string): string {
  return `\\u{${character.codePointAt(0)?.toString(16) ?? ''}}`;
}
