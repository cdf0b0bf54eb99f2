import { randomUUID } from 'node:crypto';
import { chmod, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../config/logger.ts';
import { hasCode, isMissing } from '../files/errors.ts';
import type { Confine } from '../sandbox/confined/confine.ts';
import { removeTree } from './remove-tree.ts';

export type Trash = {
  /** Moves a path into a trash folder of the same file system, and deletes it in the background. Ignores a missing path. */
  add(path: string, trashFolder: string): Promise<void>;
  /** Deletes the content of a trash folder in the background. */
  empty(trashFolder: string): Promise<void>;
  /** Resolves when all queued deletions have finished or failed. */
  idle(): Promise<void>;
  /** Stops deleting; the next start of the server continues. */
  close(): void;
};

/** Creates a trash that deletes one path at a time, outside of requests: 100,000 files take seconds. */
export function createTrash(confine: Confine, logger: Logger | undefined): Trash {
  const stopped = new AbortController();
  const queued = new Set<string>();
  let last: Promise<void> = Promise.resolve();

  function enqueue(path: string): void {
    if (queued.has(path)) return;
    queued.add(path);
    last = last.then(async () => {
      if (stopped.signal.aborted) return;
      const failure = await removeTree(confine, path, stopped.signal);
      queued.delete(path);
      // The next clean-up retries.
      if (failure !== undefined && !stopped.signal.aborted)
        logger?.warn({ err: failure, path }, 'failed to delete trash');
    });
  }

  return {
    async add(path, trashFolder) {
      const target = join(trashFolder, randomUUID());
      try {
        await moveFolder(path, target);
      } catch (error) {
        if (isMissing(error)) return;
        throw error;
      }
      enqueue(target);
    },
    async empty(trashFolder) {
      for (const name of await readdir(trashFolder)) enqueue(join(trashFolder, name));
    },
    idle: () => last,
    close: () => stopped.abort(),
  };
}

/** Renames a folder. Adds write permission first if needed, which its owner may have removed. */
async function moveFolder(path: string, target: string): Promise<void> {
  try {
    await rename(path, target);
  } catch (error) {
    if (!hasCode(error, 'EACCES')) throw error;
    await chmod(path, 0o700);
    await rename(path, target);
  }
}
