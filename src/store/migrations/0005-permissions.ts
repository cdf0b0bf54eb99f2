import type { Kysely } from 'kysely';

export async function addPermissions(db: Kysely<unknown>): Promise<void> {
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
