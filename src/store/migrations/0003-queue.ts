import type { Kysely } from 'kysely';

export async function addQueue(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('runs').addColumn('served', 'integer').execute();
  await db.schema.createIndex('runs_served').on('runs').column('served').execute();
  await db.schema.createIndex('runs_served_of_key').on('runs').columns(['key_id', 'served']).execute();
  await db.schema.createIndex('runs_served_of_ticket').on('runs').columns(['ticket_key', 'served']).execute();
  await db.schema.createIndex('runs_of_action').on('runs').columns(['action', 'run_id']).execute();

  // A run adds at most one version, whatever its number of attempts.
  await db.schema.alterTable('plans').addColumn('run_id', 'text').execute();
  await db.schema.createIndex('one_plan_per_run').unique().on('plans').columns(['ticket_key', 'run_id']).execute();
}
