export type Random = ReturnType<typeof createRandom>;

/** Creates a random generator that is deterministic for a seed (mulberry32). */
export function createRandom(seed: number) {
  let state = seed >>> 0;

  function next(): number {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  const random = {
    /** Returns an integer from 0 to `below - 1`. */
    below: (below: number) => Math.floor(next() * below),
    chance: (probability: number) => next() < probability,
    pick<T>(values: readonly [T, ...T[]] | readonly T[]): T {
      const value = values[random.below(values.length)];
      if (value === undefined) throw new RangeError('nothing to pick from');
      return value;
    },
    weighted<T>(choices: readonly (readonly [number, T])[]): T {
      let left = next() * choices.reduce((sum, [weight]) => sum + weight, 0);
      for (const [weight, value] of choices) {
        left -= weight;
        if (left < 0) return value;
      }
      throw new RangeError('nothing to pick from');
    },
    /** Returns a string of letters and digits. */
    word: (length: number) =>
      Array.from({ length }, () => 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJ0123456789'[random.below(46)]).join(''),
    bytes: (length: number) => Buffer.from(Array.from({ length }, () => random.below(256))),
  };
  return random;
}
