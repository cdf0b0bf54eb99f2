import { SECOND, UNITS, type Unit } from './units.ts';

export type FormatOptions = {
  /** `1 h 30 min` or `1 hour 30 minutes`. */
  style?: 'short' | 'long';
  /** Maximum number of units, starting from the largest nonzero one. */
  parts?: number;
};

/**
 * Formats milliseconds for people. Rounds the last unit and omits zero units.
 * @returns text such as `1 h 30 min`
 */
export function format(duration: number, { style = 'short', parts = 2 }: FormatOptions = {}): string {
  const length = Math.abs(duration);
  const units = shownUnits(length, parts);

  let rest = length;
  const words = units.map((unit, index) => {
    const exact = rest / unit.milliseconds;
    const count = index === units.length - 1 ? Math.round(exact) : Math.floor(exact);
    rest -= count * unit.milliseconds;
    return count === 0 ? '' : label(count, unit, style);
  });

  const text = words.filter((word) => word !== '').join(' ') || label(0, SECOND, style);
  return duration < 0 ? `-${text}` : text;
}

/** Returns the largest unit that fits, and the units below it. */
function shownUnits(length: number, parts: number): readonly Unit[] {
  const first = UNITS.findIndex(({ milliseconds }) => length >= milliseconds);
  return first === -1 ? [] : UNITS.slice(first, first + parts);
}

function label(count: number, unit: Unit, style: 'short' | 'long'): string {
  if (style === 'short') return `${count} ${unit.symbol}`;
  return `${count} ${unit.name}${count === 1 ? '' : 's'}`;
}
