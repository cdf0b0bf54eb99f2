import { DAY, HOUR, MINUTE, SECOND, type Unit, WEEK } from './units.ts';

const PATTERN = /^P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$/i;
const GROUPS: readonly Unit[] = [WEEK, DAY, HOUR, MINUTE, SECOND];

/**
 * Parses an ISO 8601 duration without years and months, which have no fixed length.
 * @returns milliseconds
 * @throws {SyntaxError} for any other text
 */
export function parseIso(text: string): number {
  const amounts = PATTERN.exec(text)?.slice(1);
  if (!amounts?.some((amount) => amount !== undefined) || text.toUpperCase().endsWith('T')) {
    throw new SyntaxError(`Not an ISO 8601 duration without years and months: ${JSON.stringify(text)}`);
  }
  return GROUPS.reduce((total, unit, index) => total + Number(amounts[index] ?? 0) * unit.milliseconds, 0);
}

/** Formats milliseconds as an ISO 8601 duration, such as `P1DT12H`, with a leading minus for negative durations. */
export function formatIso(duration: number): string {
  let rest = Math.abs(duration);
  const take = ({ milliseconds, iso }: Unit): string => {
    const count = Math.floor(rest / milliseconds);
    rest -= count * milliseconds;
    return count === 0 ? '' : `${count}${iso}`;
  };
  const date = take(DAY);
  const time = take(HOUR) + take(MINUTE) + (rest === 0 ? '' : `${rest / SECOND.milliseconds}S`);
  if (date + time === '') return 'PT0S';
  return `${duration < 0 ? '-' : ''}P${date}${time && `T${time}`}`;
}
