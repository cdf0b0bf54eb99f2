import { randomUUID } from 'node:crypto';
import { readdir, rename, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Config } from '../../config/load-config.ts';
import type { Logger } from '../../config/logger.ts';
import { diskSpace } from '../../files/disk-space.ts';
import { exists } from '../../files/entries.ts';
import type { Layout } from '../../files/layout.ts';
import type { MirrorCare } from '../../mirrors/mirror-lock.ts';
import { WORTH_IT } from '../../mirrors/uncompressed-packs.ts';
import { makeOwnedFolder } from '../../trees/owned-folder.ts';
import type { Trash } from '../../trees/trash.ts';
import { publishIndex } from '../worktree/scratch-results.ts';
import { type TreeTools, withWorktree } from '../worktree/snapshot.ts';
import type { NewGitDir } from './git-dir.ts';

/** The files of a commit and the index that belongs to them, both where nothing but the server works. */
export type SpareCheckout = { commit: string; folder: string; gitDir: string; idle: NodeJS.Timeout };

/** How long one is kept for a ticket that does not come. */
const IDLE_MS = 3600_000;
/** How long after a ticket was created one is made for the next: tickets that come in a row are not held up by it. */
const QUIET_MS = 1000;
/** The part of a disk that is left free for more than what is only likely to be of use. */
const FREE_SHARE = 0.1;

export type SpareCheckouts = ReturnType<typeof createSpareCheckouts>;

/**
 * The files of the next ticket, checked out before there is one: what a new ticket then waits for is a few renames, and what is
 * new in the base branch since. One for each repository with a ticket of late. They are files like those of any
 * checkout, of their own, and no ticket ever sees those of another: each is given away once.
 */
export function createSpareCheckouts(deps: {
  config: Pick<Config, 'SPARE_CHECKOUTS' | 'MIN_FREE_DISK_MB'>;
  tools: TreeTools;
  layout: Layout;
  trash: Trash;
  care: MirrorCare;
  makeGitDir: (gitDir: string, wanted: NewGitDir) => Promise<void>;
  logger: Logger | undefined;
}) {
  const { config, tools, layout, trash, care, makeGitDir, logger } = deps;
  const closing = new AbortController();
  const ready = new Map<string, SpareCheckout>();
  const making = new Map<string, Promise<void>>();
  /** How many tickets are being created, by mirror: these come first. */
  const creating = new Map<string, number>();

  function take(mirror: string): SpareCheckout | undefined {
    const spare = ready.get(mirror);
    ready.delete(mirror);
    clearTimeout(spare?.idle);
    return spare;
  }

  async function discard({ folder, gitDir }: Pick<SpareCheckout, 'folder' | 'gitDir'>): Promise<void> {
    await trash.add(folder, layout.tickets.trash);
    await trash.add(gitDir, layout.data.trash);
  }

  async function drop(mirror: string): Promise<void> {
    const spare = take(mirror);
    if (spare) await discard(spare);
  }

  async function hasRoom(): Promise<boolean> {
    const { free, size } = await diskSpace(layout.tickets.root);
    return free > Math.max(size * FREE_SHARE, 2 * config.MIN_FREE_DISK_MB * 1024 ** 2);
  }

  async function makeInTime(mirror: string, ...wanted: [string, () => Promise<string | undefined>]): Promise<void> {
    do await pause(QUIET_MS, undefined, { signal: closing.signal, ref: false });
    while (creating.has(mirror));
    await care.use(mirror, async () => {
      if (await hasRoom()) await make(mirror, ...wanted);
    });
  }

  async function make(mirror: string, commit: string, alsoObjects: () => Promise<string | undefined>): Promise<void> {
    const paths = {
      folder: join(layout.tickets.staging, randomUUID()),
      gitDir: join(layout.data.staging, randomUUID()),
    };
    const begun = performance.now();
    try {
      await makeOwnedFolder(tools.identities, paths.folder);
      await makeGitDir(paths.gitDir, { branch: 'spare', refs: {}, mirror });
      const place = { workspace: paths.folder, gitDir: paths.gitDir, mirror };
      const more = { alsoObjects: await alsoObjects() };
      await withWorktree(tools, place, closing.signal, async (tree) => {
        await tools.git.run(['read-tree', '-m', '-u', commit], { ...tree.writing, ...more });
        await publishIndex(tree);
      });
    } catch (error) {
      await discard(paths);
      throw error;
    }
    const idle = setTimeout(() => void drop(mirror).catch(warn), IDLE_MS).unref();
    logger?.info({ commit, duration_ms: Math.round(performance.now() - begun) }, 'spare checkout ready');
    ready.set(mirror, { commit, ...paths, idle });
    const [oldest] = ready.keys();
    if (ready.size > config.SPARE_CHECKOUTS && oldest !== undefined) await drop(oldest);
  }

  function warn(err: unknown): void {
    if (!closing.signal.aborted) logger?.warn({ err }, 'a spare checkout could not be made or removed');
  }

  return {
    /** Runs the creation of a ticket with the spare checkout of its repository, if there is one; it is the creation's own then. */
    async with<T>(mirror: string, work: (spare: SpareCheckout | undefined) => Promise<T>): Promise<T> {
      creating.set(mirror, (creating.get(mirror) ?? 0) + 1);
      const taken = take(mirror);
      try {
        return await work(taken && (await isWhole(taken)) ? taken : undefined);
      } finally {
        const left = (creating.get(mirror) ?? 1) - 1;
        if (left > 0) creating.set(mirror, left);
        else creating.delete(mirror);
        // What is left of it: all, when the creation failed.
        if (taken) await discard(taken).catch(warn);
      }
    },

    /**
     * Sees to it, when no ticket is being created, that the next one on a repository finds the files of a commit.
     * @param files how many the commit has: few are checked out soon enough
     * @param alsoObjects gives one more object directory to read from, when it is there
     */
    renew(mirror: string, commit: string, files: number, alsoObjects: () => Promise<string | undefined>): void {
      if (files < WORTH_IT || config.SPARE_CHECKOUTS === 0 || closing.signal.aborted) return;
      if (ready.has(mirror) || making.has(mirror)) return;
      const made = makeInTime(mirror, commit, alsoObjects)
        .catch(warn)
        .finally(() => making.delete(mirror));
      making.set(mirror, made);
    },

    /** Removes all, for the space that they take. */
    async clear(): Promise<void> {
      await Promise.all([...ready.keys()].map(drop));
    },

    /** Removes all, and makes none any more. */
    async close(): Promise<void> {
      closing.abort();
      await Promise.all(making.values());
      await this.clear();
    },
  };
}

/** A hand may have removed it: it can be done without. */
async function isWhole({ folder, gitDir }: SpareCheckout): Promise<boolean> {
  return (await exists(folder)) && (await exists(join(gitDir, 'index')));
}

/** Makes the files of a spare checkout those of an empty folder, and its index that of a git directory. */
export async function moveInto(spare: SpareCheckout, folder: string, gitDir: string): Promise<void> {
  if (folder !== spare.folder) {
    // Not the folder itself: the empty one may be where an agent waits.
    for (const name of await readdir(spare.folder, 'buffer')) {
      const [from, to] = [spare.folder, folder].map((parent) => Buffer.concat([Buffer.from(`${parent}/`), name]));
      if (from && to) await rename(from, to);
    }
    await rmdir(spare.folder);
  }
  await rename(join(spare.gitDir, 'index'), join(gitDir, 'index'));
}
