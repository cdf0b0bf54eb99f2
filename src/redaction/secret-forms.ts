/** Shorter ones would be found in ordinary text. */
export const MIN_SECRET_LENGTH = 8;

/** Of a secret of several lines, those that are as long as this are secrets of their own. */
const SHORTEST_LINE = 32;

/**
 * Every text that gives a secret away: as it is, and as what URLs, JSON, base64 and hexadecimal make of it. A form in
 * base64 is what all encodings have in common in which the secret begins at this place of a group of three bytes,
 * whatever stands before and after it (https://www.rfc-editor.org/rfc/rfc4648#section-4).
 */
export function secretForms(secret: string): string[] {
  const bytes = Buffer.from(secret);
  const url = encodeURIComponent(secret.toWellFormed());
  const form = new URLSearchParams({ '': secret }).toString().slice(1);
  const json = JSON.stringify(secret).slice(1, -1);
  const base64 = [0, 1, 2].map((offset) => base64At(bytes, offset));
  const forms = [
    secret,
    json,
    json.replace(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
    ...[url, form].flatMap((text) => [text, text.replace(/%../g, (code) => code.toLowerCase())]),
    ...base64.flatMap((text) => [text, text.replaceAll('+', '-').replaceAll('/', '_')]),
    bytes.toString('hex'),
    bytes.toString('hex').toUpperCase(),
  ];
  // A search of bytes meets those of UTF-8.
  return [...new Set(forms.flatMap((text) => [text, Buffer.from(text).toString('latin1')]))];
}

/** A secret of one line is one; of several lines, such as a private key, each long one is, but not what frames all keys. */
export function secretLines(secret: string): string[] {
  const whole = secret.trim();
  const lines = whole.split(/\s*\n\s*/).filter((line) => line.length >= SHORTEST_LINE && !line.startsWith('-----'));
  return whole.includes('\n') && lines.length > 0 ? lines : [whole];
}

/** Base64 of bytes that begin `offset` bytes into a group of three, without the characters that also hold other bits. */
function base64At(bytes: Buffer, offset: number): string {
  const text = Buffer.concat([Buffer.alloc(offset), bytes]).toString('base64');
  return text.slice(Math.ceil((offset * 8) / 6), Math.floor(((offset + bytes.length) * 8) / 6));
}
