import { type Kysely, sql } from 'kysely';

export async function createTables(db: Kysely<unknown>): Promise<void> {
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
  // The database guarantees at most one active run per ticket.
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
