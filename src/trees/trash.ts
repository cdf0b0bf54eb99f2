import { randomUUID } from 'node:crypto';
import { chmod, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../config/logger.ts';
import { hasCode, isMissing } from '../files/errors.ts';
import type { Confine } from '../sandbox/confined/confine.ts';
import { removeTree } from './remove-tree.ts';

export type Trash = {
  /** Moves a path into a trash folder of its own file system, at once, and deletes it later. Missing is fine. */
  add(path: string, trashFolder: string): Promise<void>;
  /** Deletes what a trash folder holds, later. */
  empty(trashFolder: string): Promise<void>;
  /** Resolves when all that was thrown away so far is deleted, or is left. */
  idle(): Promise<void>;
  /** Leaves what is not deleted yet to the next start. */
  close(): void;
};

/** Deletion is off the request path and one at a time: a hundred thousand files take seconds. */
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
      // The next clean-up tries again; until then it is only disk space.
      if (failure !== undefined && !stopped.signal.aborted)
        logger?.warn({ err: failure, path }, 'trash left undeleted');
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

/** Its owner may have taken the right to write from a folder of the server, which moving it needs. */
async function moveFolder(path: string, target: string): Promise<void> {
  try {
    await rename(path, target);
  } catch (error) {
    if (!hasCode(error, 'EACCES')) throw error;
    await chmod(path, 0o700);
    await rename(path, target);
  }
}
