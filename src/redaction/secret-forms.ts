/** A shorter secret would match ordinary text. */
export const MIN_SECRET_LENGTH = 8;

/** Each line of at least this length of a multi-line secret is a secret itself. */
const MIN_LINE_LENGTH = 32;

/**
 * Returns every text that reveals a secret: plain, and encoded for URLs, as JSON, in base64 and in hexadecimal. There is one base64
 * form for each offset of the secret in a group of three bytes. It has only the characters that do not depend on the
 * neighbouring bytes (https://www.rfc-editor.org/rfc/rfc4648#section-4).
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
  // Byte searches meet the UTF-8 bytes.
  return [...new Set(forms.flatMap((text) => [text, Buffer.from(text).toString('latin1')]))];
}

/** Splits a multi-line secret, such as a private key, into its long lines, without the lines that every key has. */
export function secretLines(secret: string): string[] {
  const whole = secret.trim();
  const lines = whole.split(/\s*\n\s*/).filter((line) => line.length >= MIN_LINE_LENGTH && !line.startsWith('-----'));
  return whole.includes('\n') && lines.length > 0 ? lines : [whole];
}

/** Encodes bytes at an offset in a group of three, without the characters that also encode neighbouring bytes. */
function base64At(bytes: Buffer, offset: number): string {
  const text = Buffer.concat([Buffer.alloc(offset), bytes]).toString('base64');
  return text.slice(Math.ceil((offset * 8) / 6), Math.floor(((offset + bytes.length) * 8) / 6));
}
