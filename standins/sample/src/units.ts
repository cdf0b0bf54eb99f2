export type Unit = {
  /** Symbol for output, such as `min`. */
  symbol: string;
  name: string;
  milliseconds: number;
  /** Further accepted names. */
  aliases: readonly string[];
  /** Letter in ISO 8601. */
  iso?: string;
};

export const WEEK: Unit = { symbol: 'w', name: 'week', milliseconds: 604_800_000, aliases: ['wk'], iso: 'W' };
export const DAY: Unit = { symbol: 'd', name: 'day', milliseconds: 86_400_000, aliases: [], iso: 'D' };
export const HOUR: Unit = { symbol: 'h', name: 'hour', milliseconds: 3_600_000, aliases: ['hr'], iso: 'H' };
export const MINUTE: Unit = { symbol: 'min', name: 'minute', milliseconds: 60_000, aliases: ['m'], iso: 'M' };
export const SECOND: Unit = { symbol: 's', name: 'second', milliseconds: 1000, aliases: ['sec'], iso: 'S' };
export const MILLISECOND: Unit = { symbol: 'ms', name: 'millisecond', milliseconds: 1, aliases: ['msec'] };

/** Largest first. */
export const UNITS: readonly Unit[] = [WEEK, DAY, HOUR, MINUTE, SECOND, MILLISECOND];

/** Finds the unit of a word, in singular or plural and in any case. */
export function unitNamed(word: string): Unit | undefined {
  const wanted = word.toLowerCase();
  const named = (text: string) =>
    UNITS.find(({ symbol, name, aliases }) => text === symbol || text === name || aliases.includes(text));
  return named(wanted) ?? named(wanted.replace(/s$/, ''));
}
