/** C0 and C1 controls except tab and line feed, and marks of text direction. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: the pattern finds control characters
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/**
 * Makes text of agents and repositories safe for a terminal: shows control characters, so that no escape sequence can rewrite
 * the screen or the clipboard.
 */
export function printable(text: string): string {
  return text.replaceAll('\r\n', '\n').replace(CONTROLS, (character) => {
    const code = character.charCodeAt(0);
    // The block Control Pictures.
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    return '\ufffd';
  });
}

/** Makes text safe for a single line. */
export function line(text: string): string {
  return printable(text).replace(/[\n\t]+/g, ' ');
}
