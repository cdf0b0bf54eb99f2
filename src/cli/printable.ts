/** C0 and C1 controls but tab and line feed, and what turns the direction of a text around. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/**
 * A text that agents or repositories wrote, as a terminal may be given it: escape sequences, which could rewrite what is
 * on the screen or reach the clipboard, are shown and do nothing.
 */
export function printable(text: string): string {
  return text.replaceAll('\r\n', '\n').replace(CONTROLS, (character) => {
    const code = character.charCodeAt(0);
    // Unicode has pictures of the C0 controls.
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    return '\ufffd';
  });
}

/** The same for what has to stay in one line. */
export function line(text: string): string {
  return printable(text).replace(/[\n\t]+/g, ' ');
}
