import { readdirSync, readFileSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { CHILD_MARK } from '../../config/child-mark.ts';
import type { Logger } from '../../config/logger.ts';

/** A process that hangs in the kernel is not waited for longer. */
const KILL_TIMEOUT_MS = 10_000;

/**
 * Ends what a server that was killed found running: git, gh, and agents without a sandbox, with all that they started. (A
 * sandbox ends with its server.) To be called by the only server of the folder, before it starts anything. Where there is
 * no /proc, nothing is found.
 */
export async function killOrphans(dataDir: string, logger: Pick<Logger, 'warn'>): Promise<void> {
  const reported = new Set<number>();
  // They may start others until they are gone.
  const deadline = performance.now() + KILL_TIMEOUT_MS;
  for (let found = orphans(dataDir); found.length > 0 && performance.now() < deadline; found = orphans(dataDir)) {
    for (const pid of found) {
      if (!reported.has(pid)) logger.warn({ pid }, 'a process that outlived its server is ended');
      reported.add(pid);
      kill(pid);
    }
    await turn();
  }
}

function orphans(dataDir: string): number[] {
  const mark = `\0${CHILD_MARK}=${dataDir}\0`;
  return names('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => `\0${environment(pid)}`.includes(mark))
    .map(Number);
}

function environment(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8');
  } catch {
    // It has ended, or is not ours.
    return '';
  }
}

function names(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has just ended.
  }
}
