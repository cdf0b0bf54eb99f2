import type { Matcher } from './matcher.ts';

const MASK = '[redacted]';

/** No ordinary text agrees with a key for so long: what is held of one is masked rather than let out. */
const TELLING = 16;

/** A text that comes in pieces and leaves with its secrets masked, wherever it is cut. */
export type MaskedStream = {
  /** Takes a piece; gives out all but an end that may be the beginning of a secret. */
  push(text: string): string;
  /** Gives out what was held. A secret that is begun and goes on afterwards is still masked from there on. */
  flush(): string;
  /** Gives out what was held of a text that is complete. */
  end(): string;
  /** One that goes on from here by itself. */
  copy(): MaskedStream;
};

/** Place of a secret in the text that is held; `told` when its mask has been given out. */
type Found = { from: number; to: number; told: boolean };

type State = {
  matcher: Matcher;
  state: number;
  held: string;
  found: readonly Found[];
  /** The end of all text so far that may be the beginning of a secret, given out or not. */
  begun: string;
};

/** @param current gives the matcher to use from now on; it changes when a secret is learned */
export function createMaskedStream(current: () => Matcher): MaskedStream {
  return streamFrom(current, { matcher: current(), state: 0, held: '', found: [], begun: '' });
}

function streamFrom(current: () => Matcher, start: State): MaskedStream {
  let { matcher, state, held, begun } = start;
  let found = [...start.found];

  function renew(): void {
    const newest = current();
    if (newest === matcher) return;
    matcher = newest;
    state = 0;
    for (let index = 0; index < begun.length; index += 1) state = matcher.next(state, begun.charCodeAt(index));
  }

  function add(from: number, to: number): void {
    let whole: Found = { from: Math.max(0, from), to, told: false };
    for (let last = found.at(-1); last !== undefined && last.to > whole.from; last = found.at(-1)) {
      found.pop();
      whole = { from: Math.min(last.from, whole.from), to, told: last.told || whole.told };
    }
    found.push(whole);
  }

  /** Gives out the first `end` characters of what is held. */
  function take(end: number): string {
    let out = '';
    let position = 0;
    const left: Found[] = [];
    for (const { from, to, told } of found) {
      if (from < end) {
        out += held.slice(position, from) + (told ? '' : MASK);
        position = Math.min(to, end);
      }
      if (to > end) left.push({ from: Math.max(0, from - end), to: to - end, told: told || from < end });
    }
    out += held.slice(position, end);
    held = held.slice(end);
    found = left;
    return out;
  }

  return {
    push(text) {
      renew();
      const before = held.length;
      held += text;
      for (let index = 0; index < text.length; index += 1) {
        state = matcher.next(state, text.charCodeAt(index));
        const length = matcher.matched(state);
        if (length > 0) add(before + index + 1 - length, before + index + 1);
      }
      const hold = matcher.begun(state);
      begun = hold === 0 ? '' : (begun + text).slice(-hold);
      return take(Math.max(0, held.length - hold));
    },

    flush() {
      if (held !== '' && begun.length >= TELLING) add(held.length - begun.length, held.length);
      return take(held.length);
    },

    end: () => take(held.length),

    copy: () => streamFrom(current, { matcher, state, held, found, begun }),
  };
}
