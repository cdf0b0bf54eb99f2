import type { Command } from '../types.ts';

/** An option of bubblewrap, or data for the option before it, which gets a file descriptor in its place. */
export type BwrapOption = string | Uint8Array;

/** File descriptors 0 to 2 are those of the program; the options come through the next one. */
const OPTIONS_FD = 3;

/**
 * Builds the command that runs a program in bubblewrap. The options go through a file descriptor because argv, and with it
 * every variable, is public. `env -i` because --clearenv leaves bubblewrap's own environment as it was, for all to read in
 * /proc/1/environ, and because instrumentation of the server may add variables to whatever it starts.
 * https://github.com/containers/bubblewrap
 * @param launcher words before bubblewrap: a program that starts it
 * @throws TypeError when an option holds a NUL character
 */
export function bwrapCommand(
  options: readonly BwrapOption[],
  argv: readonly string[],
  launcher: readonly string[] = [],
): Command {
  const data: Uint8Array[] = [];
  const words = options.map((option) => {
    if (typeof option === 'string') return option;
    data.push(option);
    return String(OPTIONS_FD + data.length);
  });
  if (words.some((word) => word.includes('\0'))) throw new TypeError('An option holds a NUL character.');
  return {
    file: 'env',
    args: ['-i', ...launcher, 'bwrap', '--args', String(OPTIONS_FD), '--', ...argv],
    env: {},
    cwd: '/',
    inputs: [new TextEncoder().encode(words.map((word) => `${word}\0`).join('')), ...data],
  };
}
