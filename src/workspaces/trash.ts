import { randomUUID } from 'node:crypto';
import { chmod, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../config/logger.ts';
import { isMissing } from './file-errors.ts';

export type Trash = {
  /** Moves a path into a trash folder of its own file system, at once, and deletes it later. Missing is fine. */
  discard(path: string, trashFolder: string): Promise<void>;
  /** Deletes what a trash folder holds, later. */
  empty(trashFolder: string): Promise<void>;
  /** Resolves when all that was thrown away so far is deleted, or is left. */
  settled(): Promise<void>;
  /** Leaves what is not deleted yet to the next start. */
  stop(): void;
};

/** Deletion is off the request path and one at a time: a hundred thousand files take seconds. */
export function createTrash(logger: Logger | undefined): Trash {
  let last: Promise<void> = Promise.resolve();
  let stopped = false;

  function deleteLater(path: string): void {
    last = last.then(async () => {
      if (stopped) return;
      try {
        await removeTree(path);
      } catch (err) {
        // Tried again at the next start; until then it is only disk space.
        logger?.warn({ err, path }, 'trash could not be deleted');
      }
    });
  }

  return {
    async discard(path, trashFolder) {
      const target = join(trashFolder, randomUUID());
      try {
        await rename(path, target);
      } catch (error) {
        if (isMissing(error)) return;
        throw error;
      }
      deleteLater(target);
    },
    async empty(trashFolder) {
      for (const name of await readdir(trashFolder)) deleteLater(join(trashFolder, name));
    },
    settled: () => last,
    stop() {
      stopped = true;
    },
  };
}

async function removeTree(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true });
  } catch {
    // Package caches, Go's for one, hold folders without write permission.
    await makeWritable(path);
    await rm(path, { recursive: true, force: true });
  }
}

async function makeWritable(folder: string): Promise<void> {
  await chmod(folder, 0o700);
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) await makeWritable(join(folder, entry.name));
  }
}
