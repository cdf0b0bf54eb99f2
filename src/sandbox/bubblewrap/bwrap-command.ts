import type { Command } from '../types.ts';

/** An option of bubblewrap, or data that the previous option reads from a file descriptor. */
export type BwrapOption = string | Uint8Array;

/** The first file descriptor after stdin, stdout and stderr. */
const OPTIONS_FD = 3;

/**
 * Builds the command that runs a program in bubblewrap. https://github.com/containers/bubblewrap
 *
 * Options contain every variable. They pass through a file descriptor because every user can read argv. `env -i` clears
 * bubblewrap's own environment, which --clearenv leaves readable in /proc/1/environ. It also removes variables that
 * instrumentation of the server adds to child processes.
 * @param launcher command that starts bubblewrap, without bubblewrap's own arguments
 * @throws TypeError when an option contains a NUL character
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
  if (words.some((word) => word.includes('\0'))) throw new TypeError('An option contains a NUL character.');
  return {
    file: 'env',
    args: ['-i', ...launcher, 'bwrap', '--args', String(OPTIONS_FD), '--', ...argv],
    env: {},
    cwd: '/',
    inputs: [new TextEncoder().encode(words.map((word) => `${word}\0`).join('')), ...data],
  };
}
