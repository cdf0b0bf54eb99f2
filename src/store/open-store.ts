import type SQLite from 'better-sqlite3';
import { Kysely, type SqliteDatabase, SqliteDialect, sql } from 'kysely';
import { Migrator } from 'kysely/migration';
import type { Logger } from '../config/logger.ts';
import { createAuditStore } from './audit.ts';
import { createChangeNotifier } from './change-notifier.ts';
import { createEventStore } from './events.ts';
import { createFeedQueries } from './feed-queries.ts';
import { createGroupCommit } from './group-commit.ts';
import { createIdempotencyStore } from './idempotency.ts';
import { openExclusively } from './instance-lock.ts';
import { createKeyStore } from './keys.ts';
import { migrations } from './migrations.ts';
import { createPermissionStore } from './permissions.ts';
import { createPlanStore } from './plans.ts';
import { createHousekeepingStore } from './retention.ts';
import { createRunStore } from './runs.ts';
import type { Database } from './schema.ts';
import { createSessionStore } from './sessions.ts';
import { rejectUnfinishedRestore } from './store-file.ts';
import { createTicketStore } from './tickets.ts';
import { createUsageStore } from './usage.ts';

const MAX_PREPARED_STATEMENTS = 500;

export type Store = Awaited<ReturnType<typeof openStore>>;

/**
 * Opens the embedded store, SQLite in `DIRECTORY/pullwright.db`, and migrates its tables. A write is on the disk when its
 * promise resolves (WAL, synchronous=FULL).
 * @param takeOver lease after which a frozen server that holds the folder is killed; by default it is left alone
 * @throws Error when another server holds the folder; the driver's error when the folder is not writable, or the file is
 *   not a database
 */
export async function openStore(directory: string, takeOver?: { leaseSeconds: number; logger: Logger }) {
  rejectUnfinishedRestore(directory);
  const { sqlite, upgrade, release } = await openExclusively(directory, takeOver);
  sqlite.pragma('synchronous = FULL');
  sqlite.pragma('foreign_keys = ON');
  const db = new Kysely<Database>({ dialect: new SqliteDialect({ database: tolerateImplicitRollback(sqlite) }) });

  const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations } });
  const isOutdated = (await migrator.getMigrations()).some(({ executedAt }) => executedAt === undefined);
  const migrate = () => migrator.migrateToLatest();
  const { error } = await (isOutdated ? upgrade(migrate) : migrate());
  if (error !== undefined) {
    release();
    await db.destroy();
    throw error;
  }

  const commit = createGroupCommit(db);
  const changes = createChangeNotifier();
  return {
    changes,
    tickets: createTicketStore(db, changes),
    plans: createPlanStore(db, changes),
    runs: createRunStore(db, commit, changes),
    feed: createFeedQueries(db),
    events: createEventStore(db),
    permissions: createPermissionStore(db),
    keys: createKeyStore(db, commit),
    audit: createAuditStore(db, commit),
    sessions: createSessionStore(db, commit),
    /**
     * Writes and deletes a row, and waits until that is durable: only a write detects a full or broken disk.
     * @throws the driver's error
     */
    async checkWritable(): Promise<void> {
      // SQLite would skip an update that changes nothing.
      await commit(async (trx) => {
        await sql`insert into kysely_migration_lock (id, is_locked) values ('probe', 0)`.execute(trx);
        await sql`delete from kysely_migration_lock where id = 'probe'`.execute(trx);
      });
    },
    usage: createUsageStore(db),
    idempotency: createIdempotencyStore(commit),
    housekeeping: createHousekeepingStore(db, commit),
    /** Copies the store to a file, consistently and in steps, while other writes proceed. */
    async copyTo(file: string): Promise<void> {
      await sqlite.backup(file);
    },
    /** Closes the store after all pending writes. */
    async close(): Promise<void> {
      await commit(async () => {}).catch(() => {});
      release();
      await db.destroy();
    },
  };
}

/**
 * Wraps the driver for Kysely. On a full or failing disk, SQLite rolls a transaction back itself
 * (https://www.sqlite.org/lang_transaction.html). Kysely's own rollback would then fail and hide the first error, so it becomes
 * a no-op. The wrapper also caches prepared statements.
 */
function tolerateImplicitRollback(sqlite: SQLite.Database): SqliteDatabase {
  const prepared = new Map<string, SQLite.Statement>();
  return {
    close: () => sqlite.close(),
    prepare(query) {
      const text = query === 'rollback' && !sqlite.inTransaction ? 'select 1' : query;
      const statement = prepared.get(text) ?? sqlite.prepare(text);
      if (prepared.size >= MAX_PREPARED_STATEMENTS) prepared.clear();
      prepared.set(text, statement);
      return statement;
    },
  };
}
