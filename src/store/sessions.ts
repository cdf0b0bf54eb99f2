import type { Insertable, Kysely, Selectable } from 'kysely';
import type { GroupCommit } from './group-commit.ts';
import type { Database, SessionTable } from './schema.ts';

export type SessionRow = Selectable<SessionTable>;

export function createSessionStore(db: Kysely<Database>, commit: GroupCommit) {
  return {
    all(): Promise<SessionRow[]> {
      return db.selectFrom('sessions').selectAll().orderBy('created_at').execute();
    },

    async insert(row: Insertable<SessionTable>): Promise<void> {
      await commit((trx) => trx.insertInto('sessions').values(row).execute());
    },

    async delete(sessionIds: readonly string[]): Promise<void> {
      if (sessionIds.length === 0) return;
      await commit((trx) => trx.deleteFrom('sessions').where('session_id', 'in', sessionIds).execute());
    },
  };
}
