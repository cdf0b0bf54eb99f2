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

/** How many statements are kept as SQLite has prepared them. */
const KEPT_STATEMENTS = 500;

export type Store = Awaited<ReturnType<typeof openStore>>;

/**
 * Opens the embedded store, SQLite in `DIRECTORY/pullwright.db`, and brings its tables up to date.
 * What a promise of the store resolved for is on the disk (WAL, synchronous=FULL).
 * @param takeOver how long another server that holds the folder may give no sign of life before it is ended; without it,
 * that one is left alone
 * @throws Error when another server holds the folder; the driver's error when the folder cannot be written or the file is not a database
 */
export async function openStore(directory: string, takeOver?: { leaseSeconds: number; logger: Logger }) {
  rejectUnfinishedRestore(directory);
  const { sqlite, upgrade, release } = await openExclusively(directory, takeOver);
  sqlite.pragma('synchronous = FULL');
  sqlite.pragma('foreign_keys = ON');
  const db = new Kysely<Database>({ dialect: new SqliteDialect({ database: tolerateImplicitRollback(sqlite) }) });

  const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations } });
  const isOld = (await migrator.getMigrations()).some(({ executedAt }) => executedAt === undefined);
  const migrate = () => migrator.migrateToLatest();
  const { error } = await (isOld ? upgrade(migrate) : migrate());
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
    housekeeping: createHousekeepingStore(db, commit),
    /** Writes a consistent copy of the store, piece by piece while work goes on. */
    async copyTo(file: string): Promise<void> {
      await sqlite.backup(file);
    },
    /** Closes once all that was handed in is written. */
    async close(): Promise<void> {
      await commit(async () => {}).catch(() => {});
      release();
      await db.destroy();
    },
  };
}

/**
 * SQLite ends a transaction itself when the disk is full or fails (https://www.sqlite.org/lang_transaction.html). The
 * rollback that Kysely sends then would fail and take the place of the error that tells why. What was prepared once is kept.
 */
function tolerateImplicitRollback(sqlite: SQLite.Database): SqliteDatabase {
  const prepared = new Map<string, SQLite.Statement>();
  return {
    close: () => sqlite.close(),
    prepare(query) {
      const wanted = query === 'rollback' && !sqlite.inTransaction ? 'select 1' : query;
      const statement = prepared.get(wanted) ?? sqlite.prepare(wanted);
      if (prepared.size >= KEPT_STATEMENTS) prepared.clear();
      prepared.set(wanted, statement);
      return statement;
    },
  };
}
