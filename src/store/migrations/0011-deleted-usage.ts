import { type Kysely, sql } from 'kysely';

/** Keeps the usage of deleted runs, so that a deletion does not reset the daily limit of a key. */
export async function addDeletedUsage(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('deleted_usage')
    .addColumn('key_id', 'text', (c) => c.notNull())
    .addColumn('day', 'text', (c) => c.notNull())
    .addColumn('tokens', 'integer', (c) => c.notNull())
    .addPrimaryKeyConstraint('deleted_usage_key', ['key_id', 'day'])
    .execute();
  // The trigger also fires for runs deleted with their ticket. Past days no longer count.
  await sql`create trigger runs_keep_usage after delete on runs
    when old.key_id is not null and old.created_at >= date('now')
    begin
      delete from deleted_usage where day < date('now');
      insert into deleted_usage (key_id, day, tokens)
        values (old.key_id, substr(old.created_at, 1, 10), old.input_tokens + old.output_tokens)
        on conflict (key_id, day) do update set tokens = tokens + excluded.tokens;
    end`.execute(db);
}
