/** Header name and value (RFC 9110). */
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const VALUE = /^[\x20-\x7e]*$/;

/**
 * Parses `NAME=VALUE,NAME=VALUE` with percent-encoded values
 * (https://opentelemetry.io/docs/specs/otel/protocol/exporter/#specifying-headers-via-environment-variables).
 * @returns the values by name in lower case; undefined for any other text
 */
export function parseOtlpHeaders(text: string): Record<string, string> | undefined {
  const headers: Record<string, string> = {};
  for (const part of text.split(',').filter((piece) => piece.trim() !== '')) {
    const [name = '', ...rest] = part.split('=');
    const value = decode(rest.join('=').trim());
    if (rest.length === 0 || !NAME.test(name.trim()) || value === undefined || !VALUE.test(value)) return undefined;
    headers[name.trim().toLowerCase()] = value;
  }
  return headers;
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
