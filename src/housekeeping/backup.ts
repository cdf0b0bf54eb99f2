import { randomUUID } from 'node:crypto';
import { chmod, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { type Static, Type } from '@sinclair/typebox';
import packageJson from '../../package.json' with { type: 'json' };
import type { Config } from '../config/load-config.ts';
import type { Logger } from '../config/logger.ts';
import { AppError } from '../errors/app-error.ts';
import { namesIn } from '../files/entries.ts';
import type { Confine } from '../sandbox/confined/confine.ts';
import type { Store } from '../store/open-store.ts';
import { copyTree } from '../trees/copy-tree.ts';
import { failureReason } from '../workspaces/maintenance/backup-ticket.ts';
import type { Workspaces } from '../workspaces/workspaces.ts';

/** The first file of a backup. */
export const Manifest = Type.Object({
  format: Type.Literal('pullwright-backup-1'),
  version: Type.String({ description: 'Version of the server that took the backup.' }),
  created_at: Type.String(),
  tickets: Type.Array(Type.String()),
  /** Parts that could not be read. */
  left_out: Type.Array(Type.Object({ ticket_id: Type.String(), what: Type.String() })),
});
export type Manifest = Static<typeof Manifest>;
export const MANIFEST = 'manifest.json';

/** How long a backup waits for a stalled reader. Meanwhile it blocks other backups and occupies disk space. */
const READER_TIMEOUT_MS = 60_000;

export type Backups = ReturnType<typeof createBackups>;

/**
 * Takes backups of the store, each ticket's git directory with its uncommitted work, the mirrors they borrow from, and the
 * conversations. The server works on meanwhile. A backup holds everything acknowledged before it started.
 */
export function createBackups(deps: {
  config: Pick<Config, 'DATA_DIR'>;
  store: Pick<Store, 'copyTo'>;
  workspaces: Pick<Workspaces, 'maintenance'>;
  confine: Confine;
  logger?: Logger;
}) {
  const { config, store, workspaces, confine, logger } = deps;
  /** Resolves when the running backup has finished and its staging folder is removed. */
  let running: Promise<void> | undefined;

  /** Copies each conversation on its own: an agent may make its own unreadable, but not those of others. */
  async function copyConversations(folder: string, signal: AbortSignal | undefined): Promise<Manifest['left_out']> {
    const conversations = join(config.DATA_DIR, 'conversations');
    const leftOut: Manifest['left_out'] = [];
    await mkdir(folder);
    for (const ticket_id of await namesIn(conversations)) {
      const copy = join(folder, ticket_id);
      await mkdir(copy);
      try {
        const entries = await copyTree(confine, join(conversations, ticket_id), copy, signal);
        if (entries > 0) leftOut.push({ ticket_id, what: `${entries} entries of the conversation` });
      } catch (error) {
        signal?.throwIfAborted();
        leftOut.push({ ticket_id, what: `the conversation: ${failureReason(error)}` });
        await rm(copy, { recursive: true, force: true });
      }
    }
    return leftOut;
  }

  async function stage(folder: string, signal: AbortSignal | undefined): Promise<void> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    // The store first, as after a crash: the git directories, copied later, contain all commits that it names.
    await store.copyTo(join(folder, 'pullwright.db'));
    await chmod(join(folder, 'pullwright.db'), 0o600);
    const { tickets, leftOut } = await workspaces.maintenance.backup(folder, signal);
    leftOut.push(...(await copyConversations(join(folder, 'conversations'), signal)));
    const manifest: Manifest = {
      format: 'pullwright-backup-1',
      version: packageJson.version,
      created_at: new Date().toISOString(),
      tickets,
      left_out: leftOut,
    };
    await writeFile(join(folder, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
    signal?.throwIfAborted();
  }

  async function remove(folder: string): Promise<void> {
    try {
      await rm(folder, { recursive: true, force: true });
    } catch (err) {
      // The next start removes it.
      logger?.warn({ err }, 'failed to remove backup staging folder');
    }
  }

  return {
    /**
     * Takes a backup.
     * @param signal aborts the backup until its first byte
     * @returns a tar archive, compressed with gzip; destroyed when it is not read for READER_TIMEOUT_MS
     * @throws AppError `backup_under_way`, `disk_full`; the reason of the signal
     */
    async take(signal?: AbortSignal): Promise<Readable> {
      // Imported on demand: it takes megabytes of memory.
      const { create } = await import('tar');
      if (running !== undefined)
        throw new AppError('backup_under_way', 'Another backup is running.', { retryAfter: 30 });
      const { promise, resolve } = Promise.withResolvers<void>();
      running = promise;
      const folder = join(config.DATA_DIR, 'staging', randomUUID());
      const finish = async () => {
        await remove(folder);
        running = undefined;
        resolve();
      };
      try {
        await stage(folder, signal);
      } catch (error) {
        await finish();
        throw error;
      }
      const names = (await readdir(folder)).filter((name) => name !== MANIFEST);
      const archive = create({ cwd: folder, gzip: { level: 1 }, portable: true, strict: true }, [MANIFEST, ...names]);
      // The reader gets the error; if it has left, nothing else would catch it.
      archive.on('error', () => {});
      const timer = setTimeout(() => stream.destroy(readerStalled()), READER_TIMEOUT_MS);
      const stream = Readable.from(readChunks(archive, timer)).once('close', async () => {
        clearTimeout(timer);
        await finish();
        // Its open files occupy disk space until they are read.
        archive.resume();
      });
      return stream;
    },

    /** Resolves when no backup is running and no staging folder is left. */
    async whenIdle(): Promise<void> {
      await running;
    },
  };
}

/** Yields the chunks of an archive on demand; each restarts the timer. */
async function* readChunks(archive: AsyncIterable<Buffer>, timer: NodeJS.Timeout): AsyncGenerator<Buffer> {
  for await (const chunk of archive) {
    timer.refresh();
    yield chunk;
  }
}

function readerStalled(): AppError {
  return new AppError('request_timeout', 'The backup was not read for a minute.');
}
