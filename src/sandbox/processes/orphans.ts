import { readFileSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { CHILD_MARK } from '../../config/child-mark.ts';
import type { Logger } from '../../config/logger.ts';
import { namesInSync } from '../../files/entries.ts';
import { killProcess } from './kill-process.ts';

/** Limit for processes that hang in the kernel. */
const KILL_TIMEOUT_MS = 10_000;

/**
 * Kills the processes that a killed server left running: git, gh, agents without a sandbox, and their children. Sandboxes
 * die with their server. Call it with the instance lock of the folder, before starting any process. Does nothing without
 * /proc.
 */
export async function killOrphans(dataDir: string, logger: Pick<Logger, 'warn'>): Promise<void> {
  const reported = new Set<number>();
  // They may start more processes until they are dead.
  const deadline = performance.now() + KILL_TIMEOUT_MS;
  for (let found = orphans(dataDir); found.length > 0 && performance.now() < deadline; found = orphans(dataDir)) {
    for (const pid of found) {
      if (!reported.has(pid)) logger.warn({ pid }, 'killed orphaned process');
      reported.add(pid);
      killProcess(pid);
    }
    await turn();
  }
}

function orphans(dataDir: string): number[] {
  const mark = `\0${CHILD_MARK}=${dataDir}\0`;
  return namesInSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => `\0${environment(pid)}`.includes(mark))
    .map(Number);
}

function environment(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8');
  } catch {
    // It has exited, or belongs to another user.
    return '';
  }
}
