/**
 * Limits the values of a metric label that comes from outside: each value costs memory here and in every Prometheus.
 * @returns maps the first `limit` well-formed values to themselves, and every other value to `other`
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
