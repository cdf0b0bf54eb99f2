import { rename } from 'node:fs/promises';
import type { Git } from '../git/git.ts';
import { removeLeftovers } from './stale-git-files.ts';

/** Loose objects, or packs, from which on packing a mirror pays. */
const MANY = { loose: 500, packs: 10 };

/** How long after its last fetch a mirror without tickets is taken for unused: a ticket may be about to borrow from it. */
const UNUSED_MS = 10 * 60_000;

export type MirrorCare = ReturnType<typeof createMirrorCare>;

/** Keeps fetches into a mirror apart from its care. A fetch never waits: it ends the care that is under way. */
export function createMirrorCare(git: Git) {
  /** How many use a mirror now. */
  const users = new Map<string, number>();
  const usedAt = new Map<string, number>();
  const caring = new Map<string, { stop: AbortController; done: Promise<unknown> }>();

  /** Nothing when a fetch or other care is under way. */
  async function alone<T>(mirror: string, work: (signal: AbortSignal) => Promise<T>): Promise<T | undefined> {
    if (users.has(mirror) || caring.has(mirror)) return undefined;
    const stop = new AbortController();
    const result = work(stop.signal);
    caring.set(mirror, { stop, done: result.catch(() => {}) });
    try {
      return await result;
    } finally {
      caring.delete(mirror);
    }
  }

  async function isCluttered(mirror: string): Promise<boolean> {
    const { stdout } = await git.run(['count-objects', '-v'], { gitDir: mirror });
    const figure = (name: string) => Number(new RegExp(`^${name}: (\\d+)$`, 'm').exec(stdout.toString())?.[1]);
    return figure('count') > MANY.loose || figure('packs') > MANY.packs;
  }

  return {
    /** Runs what needs the mirror to stay as it is, or adds to it. */
    async use<T>(mirror: string, work: () => Promise<T>): Promise<T> {
      users.set(mirror, (users.get(mirror) ?? 0) + 1);
      usedAt.set(mirror, Date.now());
      try {
        const care = caring.get(mirror);
        care?.stop.abort();
        await care?.done;
        return await work();
      } finally {
        // A fetch may take longer than a mirror is left alone, and its ticket borrows only after it.
        usedAt.set(mirror, Date.now());
        const left = (users.get(mirror) ?? 1) - 1;
        if (left > 0) users.set(mirror, left);
        else users.delete(mirror);
      }
    },

    /**
     * Packs a cluttered mirror. Every object is kept, reachable or not: tickets borrow them, and what a ticket needs the
     * mirror's own refs need not tell.
     * @returns whether it was packed
     */
    async pack(mirror: string, closing: AbortSignal): Promise<boolean> {
      const packed = await alone(mirror, async (stop) => {
        if (!(await isCluttered(mirror))) return false;
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
      return packed ?? false;
    },

    /** Moves a mirror away that no ticket borrows from and that nobody fetched into of late. Tells whether it did. */
    async removeUnused(mirror: string, to: string): Promise<boolean> {
      const removed = await alone(mirror, async () => {
        if (Date.now() - (usedAt.get(mirror) ?? 0) < UNUSED_MS) return false;
        if ((await git.query(mirror).refs('refs/tickets/')).size > 0) return false;
        // The look took its time: a fetch that began meanwhile waits for this, and its ticket is about to borrow.
        if (users.has(mirror)) return false;
        await rename(mirror, to);
        return true;
      });
      return removed ?? false;
    },
  };
}
