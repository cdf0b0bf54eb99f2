import { createMaskedStream, type MaskedStream } from './masked-stream.ts';
import { createMatcher, type Matcher } from './matcher.ts';
import { MIN_SECRET_LENGTH, secretForms, secretLines } from './secret-forms.ts';

/**
 * Masks the secrets of the server, in the forms of secret-forms.ts, in everything that leaves it. It is a safety net behind the
 * isolation: a secret that is reversed, encrypted or spelled out passes.
 */
export type Redactor = {
  /**
   * Adds a secret. Ignores a secret that is too short to search for.
   * @param until milliseconds since the epoch after which the secret is no longer valid and can be removed
   */
  addSecret(secret: string, until?: number): void;
  removeSecret(secret: string): void;
  /** Returns the text with every secret masked. */
  text(text: string): string;
  /** Returns the value, or a masked copy if a string in it contains a secret. Keys of objects stay unchanged. */
  value<T extends object>(value: T): T;
  /** Masks secrets in the strings of a JSON text. It stays valid JSON: no mask splits an escape sequence. */
  json(text: string): string;
  /** Masks a text that arrives in pieces. */
  stream(): MaskedStream;
  /** Searches bytes that arrive in pieces. The function returns whether a secret ended in this piece. */
  search(): (bytes: Uint8Array) => boolean;
};

/** @param secrets secrets of the server; undefined ones are ignored */
export function createRedactor(secrets: readonly (string | undefined)[] = []): Redactor {
  const known = new Map<string, number>();
  let matcher: Matcher = createMatcher([]);
  const current = () => matcher;

  function add(lines: readonly string[], until: number): void {
    for (const line of lines) known.set(line, until);
    rebuild();
  }

  function rebuild(): void {
    matcher = createMatcher([...known.keys()].flatMap(secretForms).filter((form) => form.length >= MIN_SECRET_LENGTH));
  }

  function contains(text: string): boolean {
    let state = 0;
    for (let index = 0; index < text.length; index += 1) {
      state = matcher.next(state, text.charCodeAt(index));
      if (matcher.matched(state) > 0) return true;
    }
    return false;
  }

  function mask(text: string): string {
    if (!contains(text)) return text;
    const stream = createMaskedStream(current);
    return stream.push(text) + stream.end();
  }

  function anyContains(value: unknown): boolean {
    if (typeof value === 'string') return contains(value);
    if (typeof value !== 'object' || value === null) return false;
    return Object.values(value).some(anyContains);
  }

  function maskWithin(value: object): void {
    for (const [key, part] of Object.entries(value)) {
      if (typeof part === 'string') Reflect.set(value, key, mask(part));
      else if (typeof part === 'object' && part !== null) maskWithin(part);
    }
  }

  function maskedCopy<T extends object>(value: T): T {
    if (!anyContains(value)) return value;
    const copy = structuredClone(value);
    maskWithin(copy);
    return copy;
  }

  add(
    secrets.flatMap((secret) => (secret === undefined ? [] : searchable(secret))),
    Number.POSITIVE_INFINITY,
  );

  return {
    addSecret(secret, until = Number.POSITIVE_INFINITY) {
      const fresh = searchable(secret).filter((line) => !known.has(line));
      if (fresh.length === 0) return;
      for (const [old, end] of known) if (end < Date.now()) known.delete(old);
      add(fresh, until);
    },

    removeSecret(secret) {
      for (const line of searchable(secret)) known.delete(line);
      rebuild();
    },

    text: mask,
    value: maskedCopy,

    json(text) {
      if (!contains(text)) return text;
      try {
        const value: unknown = JSON.parse(text);
        if (typeof value !== 'object' || value === null) return mask(text);
        return JSON.stringify(maskedCopy(value)) + (text.endsWith('\n') ? '\n' : '');
      } catch {
        return mask(text);
      }
    },

    stream: () => createMaskedStream(current),

    search() {
      const used = matcher;
      let state = 0;
      return (bytes) => {
        let found = false;
        for (let index = 0; index < bytes.length; index += 1) {
          state = used.next(state, bytes[index] ?? 0);
          if (used.matched(state) > 0) found = true;
        }
        return found;
      };
    },
  };
}

function searchable(secret: string): string[] {
  return secretLines(secret).filter((line) => line.length >= MIN_SECRET_LENGTH);
}
