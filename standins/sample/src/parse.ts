import { parseIso } from './iso.ts';
import { unitNamed } from './units.ts';

const SIGN = /^[-+]/;
const PART = /\s*(\d+(?:\.\d+)?)\s*([a-z]+)(?:\s*,|\s+and\b)?/iy;

/**
 * Parses a duration, such as `1h 30m`, `2 days and 4 hours`, `-1.5h` or `PT90M`.
 * @returns milliseconds
 * @throws {SyntaxError} for any other text
 */
export function parse(text: string): number {
  const trimmed = text.trim();
  const sign = SIGN.exec(trimmed)?.[0];
  const unsigned = sign === undefined ? trimmed : trimmed.slice(1);
  const length = /^P/i.test(unsigned) ? parseIso(unsigned) : parseParts(unsigned, text);
  return sign === '-' ? -length : length;
}

function parseParts(text: string, original: string): number {
  let total = 0;
  let position = 0;
  let smallest = Number.POSITIVE_INFINITY;

  while (position < text.length) {
    PART.lastIndex = position;
    const [part, amount, word] = PART.exec(text) ?? [];
    const unit = word === undefined ? undefined : unitNamed(word);
    if (part === undefined || unit === undefined) throw notADuration(original);
    if (unit.milliseconds >= smallest) throw new SyntaxError(`Units must go from large to small: ${original}`);

    smallest = unit.milliseconds;
    total += Number(amount) * unit.milliseconds;
    position += part.length;
  }
  if (position === 0) throw notADuration(original);
  return total;
}

function notADuration(text: string): SyntaxError {
  return new SyntaxError(`Not a duration: ${JSON.stringify(text)}`);
}
