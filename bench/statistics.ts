export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** @param share 0.5 for the median, 0.99 for the 99th of 100 */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  if (value === undefined) throw new Error('nothing was measured');
  return value;
}

/** Runs the contestants in turn for several rounds, so that other load on the machine affects all alike. Returns their results. */
export async function interleave<Name extends string, Result>(
  rounds: number,
  contestants: Record<Name, (round: number) => Promise<Result>>,
): Promise<Record<Name, Result[]>> {
  const names: Name[] = [];
  for (const name in contestants) names.push(name);
  const results: Partial<Record<Name, Result[]>> = {};
  for (let round = 0; round < rounds; round++) {
    for (const name of names) results[name] = [...(results[name] ?? []), await contestants[name](round)];
  }
  if (!isComplete(results, names)) throw new Error('no rounds were run');
  return results;
}

function isComplete<Name extends string, Result>(
  all: Partial<Record<Name, Result[]>>,
  names: readonly Name[],
): all is Record<Name, Result[]> {
  return names.every((name) => all[name] !== undefined);
}
