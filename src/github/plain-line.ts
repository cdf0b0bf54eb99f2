/** Control, invisible and bidirectional characters. */
const INVISIBLE = /[\p{Cc}\u200b\u2028\u2029\u2060\ufeff\u202a-\u202e\u2066-\u2069\u{e0000}-\u{e007f}]+/gu;

/** Reduces foreign text to one line of at most `length` UTF-16 units, without characters that hide or reorder text. */
export function plainLine(text: string, length = 300): string {
  const line = text.replace(INVISIBLE, ' ').replace(/\s+/g, ' ').trim();
  return line.length <= length ? line.toWellFormed() : `${line.slice(0, length - 1).trimEnd()}…`.toWellFormed();
}
