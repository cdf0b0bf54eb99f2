import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../config/logger.ts';
import { exists } from '../files/entries.ts';
import { isMissing } from '../files/errors.ts';
import type { Layout } from '../files/layout.ts';
import type { Git } from '../git/git.ts';
import type { Trash } from '../trees/trash.ts';
import type { MirrorCare } from './mirror-lock.ts';

/** Where a mirror keeps its plain pack: an object directory that only checkouts read. */
export function plainObjects(mirror: string): string {
  return join(mirror, 'plain');
}

/** Files from which on a checkout takes long enough. */
export const WORTH_IT = 1000;
/** A pack of an older commit still holds nearly every file of a newer one. */
const RENEW_MS = 3600_000;
/** Larger files take their time on the disk, not in git. */
const LARGEST = 'blob:limit=1m';

export type PlainPacks = ReturnType<typeof createPlainPacks>;

/**
 * Most of a checkout is spent on taking files out of deltas and zlib. So a mirror holds the newest tree once more as it is,
 * in a pack without either, and git takes from it what it finds there. It is git that reads and checks it: nothing that is
 * written in a workspace can reach it, and without it all is the same, only slower.
 */
export function createPlainPacks(deps: {
  git: Git;
  layout: Layout;
  trash: Trash;
  care: MirrorCare;
  logger: Logger | undefined;
}) {
  const { git, layout, trash, care, logger } = deps;
  const closing = new AbortController();
  const making = new Map<string, Promise<void>>();

  async function isWanted(mirror: string, commit: string): Promise<boolean> {
    const folder = plainObjects(mirror);
    try {
      if ((await readFile(join(folder, 'commit'), 'utf8')) === commit) return false;
      return Date.now() - (await stat(folder)).mtimeMs > RENEW_MS;
    } catch (error) {
      if (isMissing(error)) return true;
      throw error;
    }
  }

  async function make(mirror: string, commit: string): Promise<void> {
    if (closing.signal.aborted || !(await isWanted(mirror, commit))) return;
    const staged = join(layout.data.tmp, randomUUID());
    const where = { gitDir: mirror, objects: staged, signal: closing.signal };
    try {
      await mkdir(join(staged, 'pack'), { recursive: true });
      await mkdir(join(staged, 'info'));
      await writeFile(join(staged, 'info', 'alternates'), `${join(mirror, 'objects')}\n`);
      const list = ['--objects', '--no-object-names', `--filter=${LARGEST}`, `${commit}^{tree}`];
      const { stdout } = await git.run(['rev-list', ...list], where);
      const plain = ['--window=0', '--compression=0', '--no-reuse-object', '--no-reuse-delta', '--threads=1'];
      await git.run(['pack-objects', '-q', ...plain, join(staged, 'pack', 'pack')], { ...where, input: stdout });
      // What is in an index of several packs, git takes from there, whatever other packs have it too.
      await git.run(['multi-pack-index', 'write', '--no-progress'], where);
      for (const name of await readdir(join(staged, 'pack'))) await flush(join(staged, 'pack', name));
      await rm(join(staged, 'info'), { recursive: true });
      await writeFile(join(staged, 'commit'), commit);
      await trash.add(plainObjects(mirror), layout.data.trash);
      await rename(staged, plainObjects(mirror));
    } finally {
      await rm(staged, { recursive: true, force: true });
    }
  }

  async function objectsFor(mirror: string): Promise<string | undefined> {
    const folder = plainObjects(mirror);
    return (await exists(folder)) ? folder : undefined;
  }

  return {
    /** The object directory that a checkout may read from as well. */
    objectsFor,

    /** The same, once the one that is being made is there. */
    async newestFor(mirror: string): Promise<string | undefined> {
      await making.get(mirror);
      return objectsFor(mirror);
    },

    /** Sees to it, in its own time, that the next ticket of a mirror finds the files of a commit. */
    renew(mirror: string, commit: string, files: number): void {
      if (files < WORTH_IT || making.has(mirror)) return;
      const made = care
        .use(mirror, () => make(mirror, commit))
        .catch((err) => {
          if (!closing.signal.aborted) logger?.warn({ err, mirror }, 'the plain pack of a mirror could not be made');
        })
        .finally(() => making.delete(mirror));
      making.set(mirror, made);
    },

    /** Resolves when none is being made. */
    settled: () => Promise.all(making.values()),

    /** Ends what is being made. */
    async close(): Promise<void> {
      closing.abort();
      await this.settled();
    },
  };
}

/** A pack that a power loss left without its content would only be in the way. */
async function flush(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
