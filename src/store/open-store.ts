import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import SQLite from 'better-sqlite3';
import { Kysely, SqliteDialect, sql } from 'kysely';
import { Migrator } from 'kysely/migration';
import { createAuditStore } from './audit.ts';
import { createChanges, telling } from './changes.ts';
import { createEventStore } from './events.ts';
import { createGroupCommit } from './group-commit.ts';
import { createIdempotencyStore } from './idempotency.ts';
import { createKeyStore } from './keys.ts';
import { migrations } from './migrations.ts';
import { createOverviewStore } from './overview.ts';
import { createPermissionStore } from './permissions.ts';
import { createPlanStore } from './plans.ts';
import { createRunStore } from './runs.ts';
import type { Database } from './schema.ts';
import { createSessionStore } from './sessions.ts';
import { createTicketStore } from './tickets.ts';
import { createUsageStore } from './usage.ts';

export type Store = Awaited<ReturnType<typeof openStore>>;

/**
 * Opens the embedded store, SQLite in `DIRECTORY/pullwright.db`, and brings its tables up to date.
 * What a promise of the store resolved for is on the disk (WAL, synchronous=FULL).
 * @throws the driver's error when the folder cannot be written or the file is not a database
 */
export async function openStore(directory: string) {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const sqlite = new SQLite(join(directory, 'pullwright.db'), { timeout: 1000 });
  takeForOneServer(sqlite, directory);
  sqlite.pragma('synchronous = FULL');
  sqlite.pragma('foreign_keys = ON');
  const db = new Kysely<Database>({ dialect: new SqliteDialect({ database: sqlite }) });

  const { error } = await new Migrator({ db, provider: { getMigrations: async () => migrations } }).migrateToLatest();
  if (error !== undefined) {
    await db.destroy();
    throw error;
  }

  const commit = createGroupCommit(db);
  const changes = createChanges();
  return {
    changes,
    tickets: createTicketStore(db, changes),
    plans: createPlanStore(db, changes),
    runs: telling(createRunStore(db, commit), changes),
    overview: createOverviewStore(db),
    events: createEventStore(db),
    permissions: createPermissionStore(db),
    keys: createKeyStore(db, commit),
    audit: createAuditStore(db, commit),
    sessions: createSessionStore(db, commit),
    /**
     * Writes, without changing anything, and waits until it is durable: a full or broken disk shows in a write only.
     * @throws the driver's error when that fails
     */
    async checkWritable(): Promise<void> {
      // An update that changes nothing would not reach the disk.
      await commit(async (trx) => {
        await sql`insert into kysely_migration_lock (id, is_locked) values ('probe', 0)`.execute(trx);
        await sql`delete from kysely_migration_lock where id = 'probe'`.execute(trx);
      });
    },
    usage: createUsageStore(db),
    idempotency: createIdempotencyStore(commit),
    /** Closes once all that was handed in is written. */
    async close(): Promise<void> {
      await commit(async () => {}).catch(() => {});
      await db.destroy();
    },
  };
}

/** Two servers on one folder would end each other's runs: the lock lasts as long as this process. */
function takeForOneServer(sqlite: SQLite.Database, directory: string): void {
  sqlite.pragma('locking_mode = EXCLUSIVE');
  try {
    sqlite.pragma('journal_mode = WAL');
  } catch (cause) {
    if (!(cause instanceof SQLite.SqliteError) || !cause.code.startsWith('SQLITE_BUSY')) throw cause;
    throw new Error(`another server uses DATA_DIR (${directory}). Stop it, or give this one a DATA_DIR of its own.`, {
      cause,
    });
  }
}
