const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPENING: ReadonlySet<number> = new Set([0x5b, 0x7b]);
const CLOSING: ReadonlySet<number> = new Set([0x5d, 0x7d]);

/**
 * Checks how deep JSON is nested and how many values it holds, in linear time and without parsing it: a few megabytes of
 * `[[[[` take a parser seconds and a gigabyte.
 * @param json UTF-8; the answer for invalid JSON means nothing
 */
export function isShapedWithin(json: Uint8Array, limits: { depth: number; values: number }): boolean {
  let depth = 0;
  let values = 1;
  let inString = false;
  for (let index = 0; index < json.length; index += 1) {
    const byte = json[index] ?? 0;
    if (inString) {
      if (byte === BACKSLASH) index += 1;
      else if (byte === QUOTE) inString = false;
    } else if (byte === QUOTE) {
      inString = true;
    } else if (byte === COMMA) {
      values += 1;
    } else if (OPENING.has(byte)) {
      depth += 1;
      values += 1;
      if (depth > limits.depth) return false;
    } else if (CLOSING.has(byte)) {
      depth -= 1;
    }
    if (values > limits.values) return false;
  }
  return true;
}
