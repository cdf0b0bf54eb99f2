import { rename } from 'node:fs/promises';
import type { Git } from '../git/git.ts';
import type { MirrorLock } from './mirror-lock.ts';
import { removeLeftovers } from './stale-git-files.ts';
import { TICKET_REFS } from './ticket-refs.ts';

/** A mirror is repacked when it has more than these. */
const MAX_LOOSE_OBJECTS = 500;
const MAX_PACKS = 10;

/** A mirror without tickets is removed after this much time without a fetch: a new ticket may be about to borrow from it. */
const MIN_IDLE_MS = 10 * 60_000;

/**
 * Repacks a mirror that has many loose objects or packs. All objects are kept, reachable or not: tickets may borrow objects
 * that no ref of the mirror reaches.
 * @returns whether the mirror was repacked
 */
export async function repackMirror(git: Git, lock: MirrorLock, mirror: string, closing: AbortSignal): Promise<boolean> {
  const repacked = await lock.tryExclusive(mirror, async (stop) => {
    if (!(await needsRepack(git, mirror))) return false;
    try {
      const flags = ['-a', '-d', '--keep-unreachable', '-l', '-q', '--threads=1'];
      await git.run(['repack', ...flags], { gitDir: mirror, signal: AbortSignal.any([stop, closing]) });
      return true;
    } catch (error) {
      await removeLeftovers(mirror, '.');
      if (stop.aborted || closing.aborted) return false;
      throw error;
    }
  });
  return repacked ?? false;
}

async function needsRepack(git: Git, mirror: string): Promise<boolean> {
  const { stdout } = await git.run(['count-objects', '-v'], { gitDir: mirror });
  const figure = (name: string) => Number(new RegExp(`^${name}: (\\d+)$`, 'm').exec(stdout.toString())?.[1]);
  return figure('count') > MAX_LOOSE_OBJECTS || figure('packs') > MAX_PACKS;
}

/**
 * Moves a mirror away when no ticket borrows from it and nothing was fetched into it recently.
 * @returns whether the mirror was moved
 */
export async function removeUnusedMirror(git: Git, lock: MirrorLock, mirror: string, to: string): Promise<boolean> {
  const removed = await lock.tryExclusive(mirror, async () => {
    if (lock.idleMs(mirror) < MIN_IDLE_MS) return false;
    if ((await git.query(mirror).refs(TICKET_REFS)).size > 0) return false;
    // A fetch that arrived during the query waits for this lock, and its ticket is about to borrow.
    if (lock.idleMs(mirror) === 0) return false;
    await rename(mirror, to);
    return true;
  });
  return removed ?? false;
}
