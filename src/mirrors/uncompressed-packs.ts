import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../config/logger.ts';
import { exists } from '../files/entries.ts';
import { isMissing } from '../files/errors.ts';
import type { Layout } from '../files/layout.ts';
import type { Git } from '../git/git.ts';
import type { Trash } from '../trees/trash.ts';
import type { MirrorLock } from './mirror-lock.ts';

/** Returns the object directory of a mirror's uncompressed pack. Only checkouts read it. */
export function uncompressedObjects(mirror: string): string {
  return join(mirror, 'plain');
}

/** The checkout of a commit with fewer files is fast enough without preparation. */
export const MIN_FILES = 1000;
/** Most files of a newer commit are also in the pack of an older one. */
const RENEW_INTERVAL_MS = 3600_000;
/** The time for larger files goes into disk I/O, not into decompression. */
const FILTER = 'blob:limit=1m';

export type UncompressedPacks = ReturnType<typeof createUncompressedPacks>;

/**
 * Creates the uncompressed packs of mirrors. Most of the time of a checkout goes into deltas and zlib. So a mirror keeps a
 * copy of the newest tree in a pack without either. The pack is a cache that git reads and checks. Without it a checkout is
 * only slower, and nothing that an agent writes can reach it.
 */
export function createUncompressedPacks(deps: {
  git: Git;
  layout: Layout;
  trash: Trash;
  lock: MirrorLock;
  logger: Logger | undefined;
}) {
  const { git, layout, trash, lock, logger } = deps;
  const closing = new AbortController();
  const pending = new Map<string, Promise<void>>();

  async function isOutdated(mirror: string, commit: string): Promise<boolean> {
    const folder = uncompressedObjects(mirror);
    try {
      if ((await readFile(join(folder, 'commit'), 'utf8')) === commit) return false;
      return Date.now() - (await stat(folder)).mtimeMs > RENEW_INTERVAL_MS;
    } catch (error) {
      if (isMissing(error)) return true;
      throw error;
    }
  }

  async function create(mirror: string, commit: string): Promise<void> {
    if (closing.signal.aborted || !(await isOutdated(mirror, commit))) return;
    const staged = join(layout.data.tmp, randomUUID());
    const where = { gitDir: mirror, objects: staged, signal: closing.signal };
    try {
      await mkdir(join(staged, 'pack'), { recursive: true });
      await mkdir(join(staged, 'info'));
      await writeFile(join(staged, 'info', 'alternates'), `${join(mirror, 'objects')}\n`);
      const list = ['--objects', '--no-object-names', `--filter=${FILTER}`, `${commit}^{tree}`];
      const { stdout } = await git.run(['rev-list', ...list], where);
      const plain = ['--window=0', '--compression=0', '--no-reuse-object', '--no-reuse-delta', '--threads=1'];
      await git.run(['pack-objects', '-q', ...plain, join(staged, 'pack', 'pack')], { ...where, input: stdout });
      // git prefers a pack with a multi-pack index to the other packs.
      await git.run(['multi-pack-index', 'write', '--no-progress'], where);
      for (const name of await readdir(join(staged, 'pack'))) await flush(join(staged, 'pack', name));
      await rm(join(staged, 'info'), { recursive: true });
      await writeFile(join(staged, 'commit'), commit);
      await trash.add(uncompressedObjects(mirror), layout.data.trash);
      await rename(staged, uncompressedObjects(mirror));
    } finally {
      await rm(staged, { recursive: true, force: true });
    }
  }

  async function objectsFor(mirror: string): Promise<string | undefined> {
    const folder = uncompressedObjects(mirror);
    return (await exists(folder)) ? folder : undefined;
  }

  return {
    /** Returns one more object directory for a checkout to read, if the mirror has it. */
    objectsFor,

    /** Returns the same after a pending pack is complete. */
    async newestFor(mirror: string): Promise<string | undefined> {
      await pending.get(mirror);
      return objectsFor(mirror);
    },

    /** Packs the files of a commit in the background, unless the mirror has a pack that is new enough. */
    renew(mirror: string, commit: string, files: number): void {
      if (files < MIN_FILES || pending.has(mirror)) return;
      const created = lock
        .shared(mirror, () => create(mirror, commit))
        .catch((err) => {
          if (!closing.signal.aborted) logger?.warn({ err, mirror }, 'failed to create uncompressed pack');
        })
        .finally(() => pending.delete(mirror));
      pending.set(mirror, created);
    },

    /** Aborts pending packs. */
    async close(): Promise<void> {
      closing.abort();
      await Promise.all(pending.values());
    },
  };
}

/** After a power loss, an incomplete pack would hide the objects of the mirror. */
async function flush(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
