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

/** What a backup says of itself, in its first file. */
export const Manifest = Type.Object({
  format: Type.Literal('pullwright-backup-1'),
  version: Type.String({ description: 'Of the server that made it.' }),
  created_at: Type.String(),
  tickets: Type.Array(Type.String()),
  /** What could not be kept. */
  left_out: Type.Array(Type.Object({ ticket_id: Type.String(), what: Type.String() })),
});
export type Manifest = Static<typeof Manifest>;
export const MANIFEST = 'manifest.json';

/** How long a backup waits for a reader that takes nothing of it: meanwhile there is no other, and it fills the disk. */
const READER_TIMEOUT_MS = 60_000;

export type Backups = ReturnType<typeof createBackups>;

/**
 * Backups of everything: the store, each ticket's git directory with its uncommitted work, the mirrors these borrow from,
 * and the conversations. The work of the server goes on meanwhile; what was acknowledged before is in it.
 */
export function createBackups(deps: {
  config: Pick<Config, 'DATA_DIR'>;
  store: Pick<Store, 'copyTo'>;
  workspaces: Pick<Workspaces, 'maintenance'>;
  confine: Confine;
  logger?: Logger;
}) {
  const { config, store, workspaces, confine, logger } = deps;
  /** Resolves when the present backup and its staging are gone. */
  let present: Promise<void> | undefined;

  /** Each by itself: one that an agent has made unreadable keeps none of the others out. */
  async function copyConversations(folder: string, signal: AbortSignal | undefined): Promise<Manifest['left_out']> {
    const conversations = join(config.DATA_DIR, 'conversations');
    const leftOut: Manifest['left_out'] = [];
    await mkdir(folder);
    for (const ticket_id of await namesIn(conversations)) {
      const copy = join(folder, ticket_id);
      await mkdir(copy);
      try {
        const entries = await copyTree(confine, join(conversations, ticket_id), copy, signal);
        if (entries > 0) leftOut.push({ ticket_id, what: `${entries} entries of its conversation` });
      } catch (error) {
        signal?.throwIfAborted();
        leftOut.push({ ticket_id, what: `its conversation: ${failureReason(error)}` });
        await rm(copy, { recursive: true, force: true });
      }
    }
    return leftOut;
  }

  async function stage(folder: string, signal: AbortSignal | undefined): Promise<void> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    // The store first: what it knows of is in the git directories that are copied later, like after a crash.
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
      // The next start tries again.
      logger?.warn({ err }, 'staging of a backup could not be removed');
    }
  }

  return {
    /**
     * Takes a backup.
     * @param signal ends it before its first byte
     * @returns a tar archive, compressed with gzip; it ends when it is read to its end, destroyed, or not read for a minute
     * @throws AppError `backup_under_way`, `disk_full`, and the reason of the signal
     */
    async take(signal?: AbortSignal): Promise<Readable> {
      // Only now: it would take megabytes of a server that nobody asks for a copy.
      const { create } = await import('tar');
      if (present !== undefined) throw new AppError('backup_under_way', 'A backup is being taken.', { retryAfter: 30 });
      const { promise, resolve } = Promise.withResolvers<void>();
      present = promise;
      const folder = join(config.DATA_DIR, 'staging', randomUUID());
      const over = async () => {
        await remove(folder);
        present = undefined;
        resolve();
      };
      try {
        await stage(folder, signal);
      } catch (error) {
        await over();
        throw error;
      }
      const names = (await readdir(folder)).filter((name) => name !== MANIFEST);
      const archive = create({ cwd: folder, gzip: { level: 1 }, portable: true, strict: true }, [MANIFEST, ...names]);
      // The reader is told; one who has left must not leave an error that nobody catches.
      archive.on('error', () => {});
      const timer = setTimeout(() => stream.destroy(stalled()), READER_TIMEOUT_MS);
      const stream = Readable.from(passOn(archive, timer)).once('close', async () => {
        clearTimeout(timer);
        await over();
        // What it has open keeps its space until it was read.
        archive.resume();
      });
      return stream;
    },

    /** Resolves when no backup is being taken, and nothing is left of the last one. */
    async settled(): Promise<void> {
      await present;
    },
  };
}

/** Passes an archive on piece by piece, as its reader asks for them; each starts the timer again. */
async function* passOn(archive: AsyncIterable<Buffer>, timer: NodeJS.Timeout): AsyncGenerator<Buffer> {
  for await (const piece of archive) {
    timer.refresh();
    yield piece;
  }
}

function stalled(): AppError {
  return new AppError('request_timeout', 'The backup was not read for a minute.');
}
