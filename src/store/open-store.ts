import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import SQLite from 'better-sqlite3';
import { Kysely, type SqliteDatabase, SqliteDialect, sql } from 'kysely';
import { Migrator } from 'kysely/migration';
import { createAuditStore } from './audit.ts';
import { createEventStore } from './events.ts';
import { createGroupCommit } from './group-commit.ts';
import { createHousekeepingStore } from './housekeeping.ts';
import { createKeyStore } from './keys.ts';
import { migrations } from './migrations.ts';
import { createPlanStore } from './plans.ts';
import { createRunStore } from './runs.ts';
import type { Database } from './schema.ts';
import { refuseUnfinished, STORE_FILE } from './store-file.ts';
import { createTicketStore } from './tickets.ts';

export type Store = Awaited<ReturnType<typeof openStore>>;

/**
 * Opens the embedded store, SQLite in `DIRECTORY/pullwright.db`, and brings its tables up to date.
 * What a promise of the store resolved for is on the disk (WAL, synchronous=FULL).
 * @throws the driver's error when the folder cannot be written or the file is not a database
 */
export async function openStore(directory: string) {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  refuseUnfinished(directory);
  const sqlite = new SQLite(join(directory, STORE_FILE), { timeout: 1000 });
  takeForOneServer(sqlite, directory);
  sqlite.pragma('synchronous = FULL');
  sqlite.pragma('foreign_keys = ON');
  const db = new Kysely<Database>({ dialect: new SqliteDialect({ database: toldOfItsOwnRollbacks(sqlite) }) });

  const { error } = await new Migrator({ db, provider: { getMigrations: async () => migrations } }).migrateToLatest();
  if (error !== undefined) {
    await db.destroy();
    throw error;
  }

  const commit = createGroupCommit(db);
  return {
    tickets: createTicketStore(db),
    plans: createPlanStore(db),
    runs: createRunStore(db, commit),
    events: createEventStore(db),
    keys: createKeyStore(db, commit),
    audit: createAuditStore(db, commit),
    housekeeping: createHousekeepingStore(db, commit),
    /** Whether the store answers. */
    async ping(): Promise<void> {
      await sql`select 1`.execute(db);
    },
    /** Writes a consistent copy of the store, piece by piece while work goes on. */
    async copyTo(file: string): Promise<void> {
      await sqlite.backup(file);
    },
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

/**
 * SQLite ends a transaction itself when the disk is full or fails (https://www.sqlite.org/lang_transaction.html). The
 * rollback that Kysely sends then would fail and take the place of the error that tells why.
 */
function toldOfItsOwnRollbacks(sqlite: SQLite.Database): SqliteDatabase {
  return {
    close: () => sqlite.close(),
    prepare: (query) => sqlite.prepare(query === 'rollback' && !sqlite.inTransaction ? 'select 1' : query),
  };
}
