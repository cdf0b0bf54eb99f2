/** Searches for many texts at once. The time depends only on the length of the searched text. */
export type Matcher = {
  /** Returns the state after one more UTF-16 unit or byte. The initial state is 0. */
  next(state: number, unit: number): number;
  /** Returns the length of the longest needle that ends in this state; 0 for none. */
  matched(state: number): number;
  /** Returns the length of the longest end of the text so far that is a proper prefix of a needle. */
  partial(state: number): number;
};

/** Builds an Aho-Corasick automaton (https://doi.org/10.1145/360825.360855) as a complete transition table. */
export function createMatcher(needles: readonly string[]): Matcher {
  const classes = new Uint16Array(0x10000);
  let width = 1;
  for (const needle of needles) {
    for (let index = 0; index < needle.length; index += 1) {
      const unit = needle.charCodeAt(index);
      if (classes[unit] === 0) classes[unit] = width++;
    }
  }
  const maxStates = needles.reduce((sum, needle) => sum + needle.length, 1);
  const table = new Int32Array(maxStates * width);
  const matched = new Int32Array(maxStates);
  const partial = new Int32Array(maxStates);

  let states = 1;
  for (const needle of needles) {
    let state = 0;
    for (let index = 0; index < needle.length; index += 1) {
      partial[state] = index;
      const edge = state * width + (classes[needle.charCodeAt(index)] ?? 0);
      if (table[edge] === 0) table[edge] = states++;
      state = table[edge] ?? 0;
    }
    matched[state] = needle.length;
  }

  // Breadth first: the fallback of a state belongs to a shorter text, so it is already complete.
  const fallback = new Int32Array(states);
  const queue = [0];
  for (const state of queue) {
    const back = fallback[state] ?? 0;
    matched[state] ||= matched[back] ?? 0;
    partial[state] ||= partial[back] ?? 0;
    for (let kind = 1; kind < width; kind += 1) {
      const edge = state * width + kind;
      const instead = state === 0 ? 0 : (table[back * width + kind] ?? 0);
      const child = table[edge] ?? 0;
      if (child === 0) {
        table[edge] = instead;
      } else {
        fallback[child] = instead;
        queue.push(child);
      }
    }
  }

  return {
    next: (state, unit) => table[state * width + (classes[unit] ?? 0)] ?? 0,
    matched: (state) => matched[state] ?? 0,
    partial: (state) => partial[state] ?? 0,
  };
}
