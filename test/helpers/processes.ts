import { readdirSync, readFileSync } from 'node:fs';

/** Returns the processes that name a folder in their command line or have it mounted, as in a sandbox. */
export function processesIn(folder: string): { pid: number; command: string }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => read(pid, 'cmdline').includes(folder) || read(pid, 'mountinfo').includes(folder))
    .map((pid) => ({ pid: Number(pid), command: read(pid, 'cmdline').replaceAll('\0', ' ') }));
}

/** Waits until no process is left in a folder. Polls, because the kernel reports no such event. */
export async function noneLeft(folder: string): Promise<void> {
  while (processesIn(folder).length > 0) await new Promise((resolve) => setImmediate(resolve));
}

function read(pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    // The process exited after /proc was listed.
    return '';
  }
}
