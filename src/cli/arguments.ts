import { text } from 'node:stream/consumers';
import { InvalidArgumentError } from 'commander';
import { CommandError, EXIT } from './command-error.ts';

/** Parses a positive integer, for commander. */
export function positive(value: string): number {
  if (!/^[1-9]\d{0,6}$/.test(value)) throw new InvalidArgumentError('It must be a whole number, 1 or more.');
  return Number(value);
}

/** Joins the words of a message, or reads it from stdin for `-`; an empty message is a CommandError. */
export async function message(words: string[]): Promise<string | undefined> {
  if (words.length === 0) return undefined;
  const given = words.length === 1 && words[0] === '-' ? await text(process.stdin) : words.join(' ');
  if (given.trim() === '') throw new CommandError('The message is empty.', EXIT.usage);
  return given;
}
