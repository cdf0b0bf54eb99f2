import { randomUUID } from 'node:crypto';
import { readdir, rename, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Config } from '../../config/load-config.ts';
import type { Logger } from '../../config/logger.ts';
import { diskSpace } from '../../files/disk-space.ts';
import { exists } from '../../files/entries.ts';
import type { Layout } from '../../files/layout.ts';
import type { MirrorLock } from '../../mirrors/mirror-lock.ts';
import { MIN_FILES } from '../../mirrors/uncompressed-packs.ts';
import { makeOwnedFolder } from '../../trees/owned-folder.ts';
import type { Trash } from '../../trees/trash.ts';
import { publishIndex } from '../worktree/scratch-results.ts';
import { type TreeTools, withWorktree } from '../worktree/snapshot.ts';
import type { NewGitDir } from './git-dir.ts';

/** The files of a commit and a git directory with their index, both in staging folders. */
export type SpareCheckout = { commit: string; folder: string; gitDir: string; idleTimer: NodeJS.Timeout };

/** A spare checkout that no ticket used for this long is removed. */
const IDLE_TIMEOUT_MS = 3600_000;
/** Pause after the last creation of a ticket, so that a series of tickets is not slowed down. */
const MIN_QUIET_MS = 1000;
/** Share of the disk that must stay free, since a spare checkout may never be used. */
const MIN_FREE_SHARE = 0.1;

export type SpareCheckouts = ReturnType<typeof createSpareCheckouts>;

/**
 * Keeps the files of the next ticket checked out, for each repository that had a ticket recently. A new ticket then waits for a
 * few renames and the newest changes only. The files are copies of their own, and one ticket gets them.
 */
export function createSpareCheckouts(deps: {
  config: Pick<Config, 'SPARE_CHECKOUTS' | 'MIN_FREE_DISK_MB'>;
  tools: TreeTools;
  layout: Layout;
  trash: Trash;
  mirrorLock: MirrorLock;
  createGitDir: (gitDir: string, wanted: NewGitDir) => Promise<void>;
  logger: Logger | undefined;
}) {
  const { config, tools, layout, trash, mirrorLock, createGitDir, logger } = deps;
  const closing = new AbortController();
  /** By mirror, like the other maps. */
  const spares = new Map<string, SpareCheckout>();
  const pending = new Map<string, Promise<void>>();
  /** The number of tickets that are being created. */
  const creations = new Map<string, number>();

  function claim(mirror: string): SpareCheckout | undefined {
    const spare = spares.get(mirror);
    spares.delete(mirror);
    clearTimeout(spare?.idleTimer);
    return spare;
  }

  async function removeFolders({ folder, gitDir }: Pick<SpareCheckout, 'folder' | 'gitDir'>): Promise<void> {
    await trash.add(folder, layout.tickets.trash);
    await trash.add(gitDir, layout.data.trash);
  }

  async function remove(mirror: string): Promise<void> {
    const spare = claim(mirror);
    if (spare) await removeFolders(spare);
  }

  async function hasRoom(): Promise<boolean> {
    const { free, size } = await diskSpace(layout.tickets.root);
    return free > Math.max(size * MIN_FREE_SHARE, 2 * config.MIN_FREE_DISK_MB * 1024 ** 2);
  }

  async function addWhenQuiet(mirror: string, ...wanted: [string, () => Promise<string | undefined>]): Promise<void> {
    do await pause(MIN_QUIET_MS, undefined, { signal: closing.signal, ref: false });
    while (creations.has(mirror));
    await mirrorLock.shared(mirror, async () => {
      if (await hasRoom()) await add(mirror, ...wanted);
    });
  }

  async function add(mirror: string, commit: string, objectsFor: () => Promise<string | undefined>): Promise<void> {
    const folder = join(layout.tickets.staging, randomUUID());
    const gitDir = join(layout.data.staging, randomUUID());
    const startedAt = performance.now();
    try {
      await makeOwnedFolder(tools.identities, folder);
      await createGitDir(gitDir, { branch: 'spare', refs: {}, mirror });
      const alternateObjects = await objectsFor();
      await withWorktree(tools, { workspace: folder, gitDir, mirror }, closing.signal, async (tree) => {
        await tools.git.run(['read-tree', '-m', '-u', commit], { ...tree.writing, alternateObjects });
        await publishIndex(tree);
      });
    } catch (error) {
      await removeFolders({ folder, gitDir });
      throw error;
    }
    const idleTimer = setTimeout(() => void remove(mirror).catch(warn), IDLE_TIMEOUT_MS).unref();
    logger?.info({ commit, duration_ms: Math.round(performance.now() - startedAt) }, 'spare checkout ready');
    spares.set(mirror, { commit, folder, gitDir, idleTimer });
    const [oldest] = spares.keys();
    if (spares.size > config.SPARE_CHECKOUTS && oldest !== undefined) await remove(oldest);
  }

  function warn(err: unknown): void {
    if (!closing.signal.aborted) logger?.warn({ err }, 'failed to create or remove spare checkout');
  }

  return {
    /** Runs the creation of a ticket, which may use up the spare checkout of its repository. */
    async withSpare<T>(mirror: string, create: (spare: SpareCheckout | undefined) => Promise<T>): Promise<T> {
      creations.set(mirror, (creations.get(mirror) ?? 0) + 1);
      const spare = claim(mirror);
      try {
        return await create(spare && (await isComplete(spare)) ? spare : undefined);
      } finally {
        const left = (creations.get(mirror) ?? 1) - 1;
        if (left > 0) creations.set(mirror, left);
        else creations.delete(mirror);
        if (spare) await removeFolders(spare).catch(warn);
      }
    },

    /**
     * Checks a commit out in the background for the next ticket of a repository, once no ticket is being created.
     * @param files number of files of the commit; a small one is checked out fast enough without preparation
     * @param objectsFor returns one more object directory to read from, if any
     */
    renew(mirror: string, commit: string, files: number, objectsFor: () => Promise<string | undefined>): void {
      if (files < MIN_FILES || config.SPARE_CHECKOUTS === 0 || closing.signal.aborted) return;
      if (spares.has(mirror) || pending.has(mirror)) return;
      const added = addWhenQuiet(mirror, commit, objectsFor)
        .catch(warn)
        .finally(() => pending.delete(mirror));
      pending.set(mirror, added);
    },

    /** Removes all spare checkouts, to free disk space. */
    async clear(): Promise<void> {
      await Promise.all([...spares.keys()].map(remove));
    },

    /** Removes all spare checkouts, and creates no more. */
    async close(): Promise<void> {
      closing.abort();
      await Promise.all(pending.values());
      await this.clear();
    },
  };
}

/** A person may have removed the folders. */
async function isComplete({ folder, gitDir }: SpareCheckout): Promise<boolean> {
  return (await exists(folder)) && (await exists(join(gitDir, 'index')));
}

/** Moves the files of a spare checkout to an empty folder, and its index to a git directory. */
export async function moveInto(spare: SpareCheckout, folder: string, gitDir: string): Promise<void> {
  if (folder !== spare.folder) {
    // Not the folder itself: the empty one may be mounted in the sandbox of a spare agent.
    for (const name of await readdir(spare.folder, 'buffer')) {
      const [from, to] = [spare.folder, folder].map((parent) => Buffer.concat([Buffer.from(`${parent}/`), name]));
      if (from && to) await rename(from, to);
    }
    await rmdir(spare.folder);
  }
  await rename(join(spare.gitDir, 'index'), join(gitDir, 'index'));
}
