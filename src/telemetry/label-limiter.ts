/**
 * Keeps the values of a label few: what comes from outside could be anything, and each new value costs memory here and in
 * every Prometheus for good.
 * @returns a function that gives the first `limit` well-formed values as they are, and `other` for all else
 */
export function createLabelLimiter(limit: number): (value: string) => string {
  const known = new Set<string>();
  return (value) => {
    if (known.has(value)) return value;
    if (known.size >= limit || !/^[a-z0-9][a-z0-9._-]{0,63}$/.test(value)) return 'other';
    known.add(value);
    return value;
  };
}
