import { readdirSync, readFileSync } from 'node:fs';

/** Processes that name a folder in their command line or have it mounted, as those in a sandbox do. */
export function processesIn(folder: string): { pid: number; command: string }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => read(pid, 'cmdline').includes(folder) || read(pid, 'mountinfo').includes(folder))
    .map((pid) => ({ pid: Number(pid), command: read(pid, 'cmdline').replaceAll('\0', ' ') }));
}

/** Waits until no process is left in a folder. The kernel tells of no such end, so it is looked for. */
export async function noneLeft(folder: string): Promise<void> {
  while (processesIn(folder).length > 0) await new Promise((resolve) => setImmediate(resolve));
}

function read(pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    // It ended between the look into the folder and the look at it.
    return '';
  }
}
