import { readdirSync, readFileSync } from 'node:fs';

/** Lists the descendants of a process from `/proc`, without zombies. */
export function descendants(pid: number): number[] {
  const all = readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) ? stat(Number(name)) : []));
  const below = (parent: number): number[] =>
    all.filter((process) => process.parent === parent).flatMap((process) => [process.pid, ...below(process.pid)]);
  return below(pid);
}

/** Waits until none of the processes exists. It polls, because the kernel does not report the exit of another's child. */
export async function allGone(pids: readonly number[]): Promise<void> {
  while (pids.some((pid) => stat(pid).length > 0)) await new Promise((resolve) => setImmediate(resolve));
}

function stat(pid: number): { pid: number; parent: number }[] {
  try {
    // The name, in parentheses, may contain any character.
    const [state = '', parent = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return state === 'Z' || state === 'X' ? [] : [{ pid, parent: Number(parent) }];
  } catch {
    return [];
  }
}
