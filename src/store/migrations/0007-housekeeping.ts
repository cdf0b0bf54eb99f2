import { type Kysely, sql } from 'kysely';

export async function addHousekeeping(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('runs').addColumn('events_deleted_at', 'text').execute();
  await db.schema.createIndex('runs_by_end').on('runs').column('finished_at').execute();
  await db.schema.alterTable('tickets').addColumn('workspace_kept', 'text').execute();
  // Retention can delete old entries. The database still protects entries of the last 30 days.
  await sql`drop trigger audit_no_delete`.execute(db);
  await sql`create trigger audit_no_delete before delete on audit
    when old.time > strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-30 days')
    begin select raise(abort, 'the audit log is append-only'); end`.execute(db);
}
