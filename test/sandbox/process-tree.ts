import { readdirSync, readFileSync } from 'node:fs';

/** Processes below a process, as `/proc` tells; those that have ended and wait to be reaped do not count. */
export function descendants(pid: number): number[] {
  const all = readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) ? stat(Number(name)) : []));
  const below = (parent: number): number[] =>
    all.filter((process) => process.parent === parent).flatMap((process) => [process.pid, ...below(process.pid)]);
  return below(pid);
}

/** Waits until none of the processes lives. The kernel tells of no such end, so it is looked for. */
export async function allGone(pids: readonly number[]): Promise<void> {
  while (pids.some((pid) => stat(pid).length > 0)) await new Promise((resolve) => setImmediate(resolve));
}

function stat(pid: number): { pid: number; parent: number }[] {
  try {
    // The name, in parentheses, may hold anything.
    const [state = '', parent = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return state === 'Z' || state === 'X' ? [] : [{ pid, parent: Number(parent) }];
  } catch {
    return [];
  }
}
