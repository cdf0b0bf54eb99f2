import { text } from 'node:stream/consumers';
import { InvalidArgumentError } from 'commander';
import { CommandError, EXIT } from './command-error.ts';

/** A whole number from 1 on, for commander. */
export function positive(value: string): number {
  if (!/^[1-9]\d{0,6}$/.test(value)) throw new InvalidArgumentError('It has to be a whole number from 1 on.');
  return Number(value);
}

/** The words of a message; `-` is what comes on stdin. */
export async function message(words: string[]): Promise<string | undefined> {
  if (words.length === 0) return undefined;
  const given = words.length === 1 && words[0] === '-' ? await text(process.stdin) : words.join(' ');
  if (given.trim() === '') throw new CommandError('The message is empty.', EXIT.usage);
  return given;
}
