import { SECOND, UNITS, type Unit } from './units.ts';

export type FormatOptions = {
  /** `1 h 30 min` or `1 hour 30 minutes`. */
  style?: 'short' | 'long';
  /** Most units to write, from the largest that there is one of. */
  parts?: number;
};

/**
 * Writes milliseconds for people to read. The last unit is rounded; units that there are none of are left out.
 * @returns such as `1 h 30 min`
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

/** The largest unit that fits, and those below it. */
function shownUnits(length: number, parts: number): readonly Unit[] {
  const first = UNITS.findIndex(({ milliseconds }) => length >= milliseconds);
  return first === -1 ? [] : UNITS.slice(first, first + parts);
}

function label(count: number, unit: Unit, style: 'short' | 'long'): string {
  if (style === 'short') return `${count} ${unit.symbol}`;
  return `${count} ${unit.name}${count === 1 ? '' : 's'}`;
}
