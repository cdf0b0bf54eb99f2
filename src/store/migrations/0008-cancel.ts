import type { Kysely } from 'kysely';

export async function addCancel(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('runs').addColumn('cancel_requested_at', 'text').execute();
}
