import { type Kysely, sql } from 'kysely';

/** Indexes for queries that scanned all tickets, or all runs of a key. */
export async function addIndexesForGrowth(db: Kysely<unknown>): Promise<void> {
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
