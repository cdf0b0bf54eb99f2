/** Controls, separators of lines, directions of writing, and what has no width, such as variation selectors and tags. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;
const LAYOUT = new Set(['\n', '\t']);

/**
 * The text with a visible escape, such as `\u{1b}`, in place of each character that could hide what it says.
 * Line breaks and tabs stay.
 */
export function visibleText(text: string): string {
  return text.toWellFormed().replace(UNSEEN, (character) => (LAYOUT.has(character) ? character : escaped(character)));
}

/** As `visibleText`, in one line. */
export function visibleLine(text: string): string {
  return visibleText(text).replace(/[\n\t]/g, escaped);
}

function escaped(character: string): string {
  return `\\u{${character.codePointAt(0)?.toString(16) ?? ''}}`;
}
