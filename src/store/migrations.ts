import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/** In order of their names; a migration that was released is never edited. */
export const migrations: Record<string, Migration> = {
  '0001-tickets-plans-runs-events': { up: createTables },
  '0002-keys-audit': { up: addKeysAndAudit },
  '0003-queue': { up: addQueue },
  '0004-limits': { up: addBudget },
  '0005-permissions': { up: addPermissions },
  '0006-idempotency': { up: addIdempotencyAndUsage },
  '0007-housekeeping': { up: addHousekeeping },
  '0008-cancel': { up: addCancel },
  '0009-sessions': { up: addSessions },
  '0010-growth': { up: addIndexesForGrowth },
};

async function createTables(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('tickets')
    .addColumn('ticket_key', 'text', (c) => c.primaryKey())
    .addColumn('ticket_id', 'text', (c) => c.notNull())
    .addColumn('repo_url', 'text', (c) => c.notNull())
    .addColumn('title', 'text')
    .addColumn('description', 'text')
    .addColumn('branch', 'text', (c) => c.notNull())
    .addColumn('base_branch', 'text', (c) => c.notNull())
    .addColumn('state', 'text', (c) => c.notNull())
    .addColumn('pull_request_number', 'integer')
    .addColumn('pull_request_url', 'text')
    .addColumn('created_at', 'text', (c) => c.notNull())
    .addColumn('updated_at', 'text', (c) => c.notNull())
    .execute();
  await db.schema.createIndex('tickets_newest').on('tickets').columns(['created_at', 'ticket_key']).execute();

  await db.schema
    .createTable('plans')
    .addColumn('ticket_key', 'text', (c) => c.notNull().references('tickets.ticket_key').onDelete('cascade'))
    .addColumn('version', 'integer', (c) => c.notNull())
    .addColumn('body', 'text', (c) => c.notNull())
    .addColumn('author', 'text', (c) => c.notNull())
    .addColumn('approved_at', 'text')
    .addColumn('created_at', 'text', (c) => c.notNull())
    .addPrimaryKeyConstraint('plans_pk', ['ticket_key', 'version'])
    .execute();

  await db.schema
    .createTable('runs')
    .addColumn('run_id', 'text', (c) => c.primaryKey())
    .addColumn('ticket_key', 'text', (c) => c.notNull().references('tickets.ticket_key').onDelete('cascade'))
    .addColumn('ticket_id', 'text', (c) => c.notNull())
    .addColumn('action', 'text', (c) => c.notNull())
    .addColumn('message', 'text')
    .addColumn('agent', 'text', (c) => c.notNull())
    .addColumn('state', 'text', (c) => c.notNull())
    .addColumn('attempt', 'integer', (c) => c.notNull().defaultTo(0))
    .addColumn('last_seq', 'integer', (c) => c.notNull().defaultTo(0))
    .addColumn('session_id', 'text')
    .addColumn('plan_version', 'integer')
    .addColumn('progress', 'text', (c) => c.notNull().defaultTo('{}'))
    .addColumn('usage', 'text', (c) => c.notNull().defaultTo('{"input_tokens":0,"output_tokens":0,"cached_tokens":0}'))
    .addColumn('result', 'text')
    .addColumn('error', 'text')
    .addColumn('created_at', 'text', (c) => c.notNull())
    .addColumn('started_at', 'text')
    .addColumn('finished_at', 'text')
    .execute();
  await db.schema.createIndex('runs_of_ticket').on('runs').columns(['ticket_key', 'run_id']).execute();
  await db.schema.createIndex('runs_by_state').on('runs').columns(['state', 'run_id']).execute();
  // One run at a time per ticket is an invariant of the database, not a habit of the code.
  await db.schema
    .createIndex('one_active_run_per_ticket')
    .unique()
    .on('runs')
    .column('ticket_key')
    .where(sql.ref('state'), 'in', sql`('running', 'waiting')`)
    .execute();

  await db.schema
    .createTable('events')
    .addColumn('run_id', 'text', (c) => c.notNull().references('runs.run_id').onDelete('cascade'))
    .addColumn('seq', 'integer', (c) => c.notNull())
    .addColumn('time', 'text', (c) => c.notNull())
    .addColumn('type', 'text', (c) => c.notNull())
    .addColumn('data', 'text', (c) => c.notNull())
    .addPrimaryKeyConstraint('events_pk', ['run_id', 'seq'])
    .execute();
}

async function addKeysAndAudit(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('keys')
    .addColumn('key_id', 'text', (c) => c.primaryKey())
    .addColumn('name', 'text', (c) => c.notNull())
    .addColumn('secret_hash', 'text', (c) => c.notNull())
    .addColumn('scopes', 'text', (c) => c.notNull())
    .addColumn('repositories', 'text')
    .addColumn('created_at', 'text', (c) => c.notNull())
    .addColumn('expires_at', 'text')
    .addColumn('last_used_at', 'text')
    .addColumn('revoked_at', 'text')
    .execute();
  await db.schema.alterTable('runs').addColumn('key_id', 'text').execute();
  await db.schema.createIndex('runs_of_key').on('runs').columns(['key_id', 'state']).execute();

  await db.schema
    .createTable('audit')
    .addColumn('seq', 'integer', (c) => c.primaryKey().autoIncrement())
    .addColumn('time', 'text', (c) => c.notNull())
    .addColumn('actor', 'text', (c) => c.notNull())
    .addColumn('address', 'text', (c) => c.notNull())
    .addColumn('method', 'text', (c) => c.notNull())
    .addColumn('operation', 'text', (c) => c.notNull())
    .addColumn('ticket_id', 'text')
    .addColumn('run_id', 'text')
    .addColumn('key_id', 'text')
    .addColumn('status', 'integer', (c) => c.notNull())
    .addColumn('code', 'text')
    .execute();
  // That nothing is changed or removed is kept by the database, whatever the code does.
  for (const change of ['update', 'delete']) {
    await sql`create trigger ${sql.id(`audit_no_${change}`)} before ${sql.raw(change)} on audit
      begin select raise(abort, 'the audit log is append-only'); end`.execute(db);
  }
}

async function addPermissions(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('permissions')
    .addColumn('permission_id', 'text', (c) => c.primaryKey())
    .addColumn('run_id', 'text', (c) => c.notNull().references('runs.run_id').onDelete('cascade'))
    .addColumn('attempt', 'integer', (c) => c.notNull())
    .addColumn('question', 'text', (c) => c.notNull())
    .addColumn('asked_at', 'text', (c) => c.notNull())
    .addColumn('deadline', 'text', (c) => c.notNull())
    .addColumn('decision', 'text')
    .addColumn('decided_by', 'text')
    .addColumn('resolved_at', 'text')
    .execute();
  await db.schema.createIndex('permissions_of_run').on('permissions').columns(['run_id', 'permission_id']).execute();
  await db.schema.createIndex('permissions_open').on('permissions').columns(['decision', 'permission_id']).execute();
}

async function addIdempotencyAndUsage(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('idempotency')
    .addColumn('record_id', 'text', (c) => c.primaryKey())
    .addColumn('fingerprint', 'text', (c) => c.notNull())
    .addColumn('run_id', 'text')
    .addColumn('status', 'integer')
    .addColumn('headers', 'text')
    .addColumn('body', 'text')
    .addColumn('created_at', 'text', (c) => c.notNull())
    .execute();
  await db.schema.createIndex('idempotency_oldest').on('idempotency').column('created_at').execute();

  for (const column of ['input_tokens', 'output_tokens', 'cached_tokens', 'duration_ms']) {
    await db.schema
      .alterTable('runs')
      .addColumn(column, 'integer', (c) => c.notNull().defaultTo(0))
      .execute();
  }
  const { rows } = await sql<{
    run_id: string;
    usage: string;
    started_at: string | null;
    finished_at: string | null;
  }>`select run_id, usage, started_at, finished_at from runs`.execute(db);
  for (const { run_id, usage, started_at, finished_at } of rows) {
    const { input_tokens, output_tokens, cached_tokens } = JSON.parse(usage);
    const took = started_at === null || finished_at === null ? 0 : Date.parse(finished_at) - Date.parse(started_at);
    await sql`update runs set input_tokens = ${input_tokens}, output_tokens = ${output_tokens},
      cached_tokens = ${cached_tokens}, duration_ms = ${took} where run_id = ${run_id}`.execute(db);
  }
  await db.schema.createIndex('runs_by_time').on('runs').columns(['created_at', 'key_id']).execute();
}

async function addQueue(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('runs').addColumn('served', 'integer').execute();
  await db.schema.createIndex('runs_served').on('runs').column('served').execute();
  await db.schema.createIndex('runs_served_of_key').on('runs').columns(['key_id', 'served']).execute();
  await db.schema.createIndex('runs_served_of_ticket').on('runs').columns(['ticket_key', 'served']).execute();
  await db.schema.createIndex('runs_of_action').on('runs').columns(['action', 'run_id']).execute();

  // However often a run is started, it adds one version.
  await db.schema.alterTable('plans').addColumn('run_id', 'text').execute();
  await db.schema.createIndex('one_plan_per_run').unique().on('plans').columns(['ticket_key', 'run_id']).execute();
}

async function addBudget(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('runs').addColumn('budget', 'text').execute();
}

async function addHousekeeping(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('runs').addColumn('events_deleted_at', 'text').execute();
  await db.schema.createIndex('runs_by_end').on('runs').column('finished_at').execute();
  await db.schema.alterTable('tickets').addColumn('workspace_kept', 'text').execute();
  // Retention may remove what is old; what is younger the database still keeps, whatever the code does.
  await sql`drop trigger audit_no_delete`.execute(db);
  await sql`create trigger audit_no_delete before delete on audit
    when old.time > strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-30 days')
    begin select raise(abort, 'the audit log is append-only'); end`.execute(db);
}

async function addCancel(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('runs').addColumn('cancel_requested_at', 'text').execute();
}

async function addSessions(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('sessions')
    .addColumn('session_id', 'text', (c) => c.primaryKey())
    .addColumn('key_id', 'text', (c) => c.notNull())
    .addColumn('secret_hash', 'text', (c) => c.notNull())
    .addColumn('created_at', 'text', (c) => c.notNull())
    .addColumn('expires_at', 'text', (c) => c.notNull())
    .execute();
}

/** What was looked for in all tickets, or in all runs of a key. */
async function addIndexesForGrowth(db: Kysely<unknown>): Promise<void> {
  const newest = ['created_at', 'ticket_key'] as const;
  await db.schema
    .createIndex('tickets_by_state')
    .on('tickets')
    .columns(['state', ...newest])
    .execute();
  await db.schema
    .createIndex('tickets_of_repository')
    .on('tickets')
    .expression(sql`lower(repo_url)`)
    .columns([...newest])
    .execute();
  await db.schema.createIndex('runs_of_key_by_time').on('runs').columns(['key_id', 'created_at']).execute();
}
