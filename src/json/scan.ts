/** Maximum nesting, and maximum number of values and keys. */
export type JsonLimits = { depth: number; values: number };

/**
 * Limits for requests to a model and its answers. Tool schemas and arguments nest about twenty levels deep; recursion over 64
 * levels is safe. A conversation with a thousand tool calls has about thirty thousand values.
 */
const MODEL_LIMITS: JsonLimits = { depth: 64, values: 250_000 };

const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
/** `[` and `{` differ in the bit CURLY, as `]` and `}` do. */
const OPENING = 0x5b;
const CLOSING = 0x5d;
const CURLY = 0x20;

/**
 * Checks the limits of JSON before it is parsed, in one pass over its UTF-8 bytes and in constant memory. It accepts text that is
 * not JSON, which the parser rejects.
 */
export function createJsonScan(limits: JsonLimits = MODEL_LIMITS) {
  let depth = 0;
  let values = 0;
  let inString = false;
  let isEscaped = false;

  /** Returns the index after the end of the string or of the bytes. */
  function skipString(bytes: Uint8Array, from: number): number {
    for (let index = from; index < bytes.length; index += 1) {
      const byte = bytes[index];
      if (isEscaped) isEscaped = false;
      else if (byte === BACKSLASH) isEscaped = true;
      else if (byte === QUOTE) {
        inString = false;
        return index + 1;
      }
    }
    return bytes.length;
  }

  return {
    /** Returns false when the text exceeds a limit. */
    push(bytes: Uint8Array): boolean {
      let index = inString ? skipString(bytes, 0) : 0;
      while (index < bytes.length) {
        const byte = bytes[index] ?? 0;
        index += 1;
        if (byte === QUOTE) {
          inString = true;
          values += 1;
          index = skipString(bytes, index);
        } else if (byte === COMMA) {
          values += 1;
        } else if ((byte | CURLY) === (OPENING | CURLY)) {
          values += 1;
          depth += 1;
        } else if ((byte | CURLY) === (CLOSING | CURLY)) {
          depth -= 1;
        }
        if (depth > limits.depth || values > limits.values) return false;
      }
      return true;
    },
  };
}
