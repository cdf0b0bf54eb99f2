/** Looks for many texts at once, in time that depends on the length of what is searched alone. */
export type Matcher = {
  /** The state after one more UTF-16 unit or byte; 0 is the state of the beginning. */
  next(state: number, unit: number): number;
  /** Length of the longest needle that ends in this state; 0 when none does. */
  matched(state: number): number;
  /** Length of the longest end of the text so far that is the beginning of a needle, not the whole of it. */
  begun(state: number): number;
};

/** An automaton after Aho and Corasick (https://doi.org/10.1145/360825.360855), as a table of all its steps. */
export function createMatcher(needles: readonly string[]): Matcher {
  const classes = new Uint16Array(0x10000);
  let width = 1;
  for (const needle of needles) {
    for (let index = 0; index < needle.length; index += 1) {
      const unit = needle.charCodeAt(index);
      if (classes[unit] === 0) classes[unit] = width++;
    }
  }
  const most = needles.reduce((sum, needle) => sum + needle.length, 1);
  const table = new Int32Array(most * width);
  const matched = new Int32Array(most);
  const begun = new Int32Array(most);

  let states = 1;
  for (const needle of needles) {
    let state = 0;
    for (let index = 0; index < needle.length; index += 1) {
      begun[state] = index;
      const edge = state * width + (classes[needle.charCodeAt(index)] ?? 0);
      if (table[edge] === 0) table[edge] = states++;
      state = table[edge] ?? 0;
    }
    matched[state] = needle.length;
  }

  // Breadth first, so that the state to fall back to, which is of a shorter text, is complete already.
  const fallback = new Int32Array(states);
  const queue = [0];
  for (const state of queue) {
    const back = fallback[state] ?? 0;
    matched[state] ||= matched[back] ?? 0;
    begun[state] ||= begun[back] ?? 0;
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
    begun: (state) => begun[state] ?? 0,
  };
}
