import { createMaskedStream, type MaskedStream } from './masked-stream.ts';
import { createMatcher, type Matcher } from './matcher.ts';
import { MIN_SECRET_LENGTH, secretForms, secretLines } from './secret-forms.ts';

/**
 * The one place that knows what must not leave the server, and in which forms (secret-forms.ts). A net below the walls,
 * not a wall: a secret that is reversed, encrypted or spelled out passes.
 */
export type Redactor = {
  /**
   * From now on, this is a secret too. Again is harmless; one that is too short is not looked for.
   * @param until milliseconds since the epoch after which it opens nothing any more and may be forgotten
   */
  addSecret(secret: string, until?: number): void;
  /** What was learned so is no secret any more. */
  removeSecret(secret: string): void;
  /** The text with every secret in it masked. */
  text(text: string): string;
  /** The same value, or, when a string in it holds a secret, a copy in which it is masked. Keys stay as they are. */
  value<T extends object>(value: T): T;
  /** JSON with the secrets in its strings masked: still JSON, which a mask in the middle of an escape would break. */
  json(text: string): string;
  /** Masks a text that comes in pieces. */
  stream(): MaskedStream;
  /** Looks for secrets in bytes that come in pieces: whether one has ended in this piece. */
  search(): (bytes: Uint8Array) => boolean;
};

/** @param secrets what the server holds; undefined ones are not set */
export function createRedactor(secrets: readonly (string | undefined)[] = []): Redactor {
  const known = new Map<string, number>();
  let matcher: Matcher = createMatcher([]);
  const current = () => matcher;

  function add(lines: readonly string[], until: number): void {
    for (const line of lines) known.set(line, until);
    renew();
  }

  function renew(): void {
    matcher = createMatcher([...known.keys()].flatMap(secretForms).filter((form) => form.length >= MIN_SECRET_LENGTH));
  }

  function holds(text: string): boolean {
    let state = 0;
    for (let index = 0; index < text.length; index += 1) {
      state = matcher.next(state, text.charCodeAt(index));
      if (matcher.matched(state) > 0) return true;
    }
    return false;
  }

  function mask(text: string): string {
    if (!holds(text)) return text;
    const stream = createMaskedStream(current);
    return stream.push(text) + stream.end();
  }

  function anyHolds(value: unknown): boolean {
    if (typeof value === 'string') return holds(value);
    if (typeof value !== 'object' || value === null) return false;
    return Object.values(value).some(anyHolds);
  }

  function maskWithin(value: object): void {
    for (const [key, part] of Object.entries(value)) {
      if (typeof part === 'string') Reflect.set(value, key, mask(part));
      else if (typeof part === 'object' && part !== null) maskWithin(part);
    }
  }

  function maskedCopy<T extends object>(value: T): T {
    if (!anyHolds(value)) return value;
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
      renew();
    },

    text: mask,
    value: maskedCopy,

    json(text) {
      if (!holds(text)) return text;
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
