import type { Matcher } from './matcher.ts';

const MASK = '[redacted]';

/** Ordinary text never shares so many characters with a secret: a longer partial secret is masked on flush. */
const MIN_MASKED_PREFIX = 16;

/** Masks secrets in a text that arrives in pieces, even if a secret is split between them. */
export type MaskedStream = {
  /** Takes a piece and returns the masked text. Holds back an end that may be the start of a secret. */
  push(text: string): string;
  /** Returns the held text. If a secret started in it, the continuation is still masked. */
  flush(): string;
  /** Returns the held text of a complete text. */
  end(): string;
  /** Returns an independent stream in the same state. */
  copy(): MaskedStream;
};

/** Position of a secret in the held text. `masked`: its mask was already returned. */
type Found = { from: number; to: number; masked: boolean };

type State = {
  matcher: Matcher;
  state: number;
  held: string;
  found: readonly Found[];
  /** The end of the text so far that may be the start of a secret, held or already returned. */
  partial: string;
};

/** @param current returns the present matcher, which changes with the secrets */
export function createMaskedStream(current: () => Matcher): MaskedStream {
  return streamFrom(current, { matcher: current(), state: 0, held: '', found: [], partial: '' });
}

function streamFrom(current: () => Matcher, start: State): MaskedStream {
  let { matcher, state, held, partial } = start;
  let found = [...start.found];

  /** Moves to a newer matcher, in the state after `partial`. */
  function updateMatcher(): void {
    const newest = current();
    if (newest === matcher) return;
    matcher = newest;
    state = 0;
    for (let index = 0; index < partial.length; index += 1) state = matcher.next(state, partial.charCodeAt(index));
  }

  /** Adds the position of a secret and merges positions that overlap. */
  function add(from: number, to: number): void {
    let whole: Found = { from: Math.max(0, from), to, masked: false };
    for (let last = found.at(-1); last !== undefined && last.to > whole.from; last = found.at(-1)) {
      found.pop();
      whole = { from: Math.min(last.from, whole.from), to, masked: last.masked || whole.masked };
    }
    found.push(whole);
  }

  /** Removes the first `end` characters from the held text and returns them masked. */
  function take(end: number): string {
    let out = '';
    let position = 0;
    const left: Found[] = [];
    for (const { from, to, masked } of found) {
      if (from < end) {
        out += held.slice(position, from) + (masked ? '' : MASK);
        position = Math.min(to, end);
      }
      if (to > end) left.push({ from: Math.max(0, from - end), to: to - end, masked: masked || from < end });
    }
    out += held.slice(position, end);
    held = held.slice(end);
    found = left;
    return out;
  }

  return {
    push(text) {
      updateMatcher();
      const before = held.length;
      held += text;
      for (let index = 0; index < text.length; index += 1) {
        state = matcher.next(state, text.charCodeAt(index));
        const length = matcher.matched(state);
        if (length > 0) add(before + index + 1 - length, before + index + 1);
      }
      const hold = matcher.partial(state);
      partial = hold === 0 ? '' : (partial + text).slice(-hold);
      return take(Math.max(0, held.length - hold));
    },

    flush() {
      if (held !== '' && partial.length >= MIN_MASKED_PREFIX) add(held.length - partial.length, held.length);
      return take(held.length);
    },

    end: () => take(held.length),

    copy: () => streamFrom(current, { matcher, state, held, found, partial }),
  };
}
