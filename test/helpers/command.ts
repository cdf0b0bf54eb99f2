import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Owner, World } from './server.ts';

export const LAUNCHER = fileURLToPath(new URL('../../bin/pullwright.mjs', import.meta.url));

export type Ended = { code: number | null; stdout: string; stderr: string };

/** Starts the real command as a process with pipes, in a folder. */
export function startCommand(t: Owner, dir: string, args: string[], env: Record<string, string | undefined> = {}) {
  const variables = Object.entries({ PATH: process.env.PATH, ...env }).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${value}`],
  );
  // tap passes its loader to child processes through the environment; `env -i` keeps it out of the command.
  const child = spawn('env', ['-i', ...variables, process.execPath, LAUNCHER, ...args], { cwd: dir });
  t.teardown(() => child.kill('SIGKILL'));
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    output.stderr += text;
  });
  const ended: Promise<Ended> = once(child, 'close').then(([code]) => ({ code, ...output }));
  return { process: child, output, ended };
}

/** Starts the command on a terminal. Writes to the process are keystrokes. */
export function startOnTerminal(t: Owner, dir: string, args: string[], env: Record<string, string> = {}) {
  const words = [process.execPath, LAUNCHER, ...args].map((word) => `'${word}'`).join(' ');
  const terminal = spawn('script', ['-qec', words, '/dev/null'], { cwd: dir, env: { PATH: process.env.PATH, ...env } });
  t.teardown(() => terminal.kill('SIGKILL'));
  let shown = '';
  terminal.stdout.setEncoding('utf8').on('data', (text) => {
    shown += text;
  });
  /** Waits until the terminal shows a text. */
  const shows = async (text: string) => {
    while (!shown.includes(text)) await once(terminal.stdout, 'data');
  };
  const ended = once(terminal, 'close').then(([code]) => ({ code, shown }));
  return { process: terminal, shows, ended };
}

/** Runs the command and waits for its exit. */
export async function pullwright(
  t: Owner,
  world: Pick<World, 'dir'>,
  args: string[],
  { env = {}, input = '' }: { env?: Record<string, string | undefined>; input?: string } = {},
): Promise<Ended> {
  const { process: child, ended } = startCommand(t, world.dir, args, env);
  child.stdin.end(input);
  return ended;
}
