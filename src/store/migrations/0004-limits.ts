import type { Kysely } from 'kysely';

export async function addBudget(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('runs').addColumn('budget', 'text').execute();
}
