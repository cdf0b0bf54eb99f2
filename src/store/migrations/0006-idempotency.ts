import { type Kysely, sql } from 'kysely';

export async function addIdempotencyAndUsage(db: Kysely<unknown>): Promise<void> {
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
