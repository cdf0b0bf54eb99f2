import type { Insertable, Kysely, Selectable } from 'kysely';
import type { GroupCommit } from './group-commit.ts';
import { decodeCursor, toPage } from './page-cursor.ts';
import type { AuditTable, Database } from './schema.ts';

export type AuditRow = Selectable<AuditTable>;
export type AuditStore = ReturnType<typeof createAuditStore>;

/** Stores the audit log. Triggers of the database reject changes and deletions of recent entries. */
export function createAuditStore(db: Kysely<Database>, commit: GroupCommit) {
  return {
    async append(entry: Omit<Insertable<AuditTable>, 'seq'>): Promise<void> {
      await commit((trx) => trx.insertInto('audit').values(entry).execute());
    },

    /** Reads a page, newest first. */
    async list({ cursor, limit }: { cursor?: string; limit: number }) {
      let select = db.selectFrom('audit').selectAll();
      if (cursor !== undefined) select = select.where('seq', '<', Number(decodeCursor('audit', cursor)[0]));
      const rows = await select
        .orderBy('seq', 'desc')
        .limit(limit + 1)
        .execute();
      return toPage('audit', rows, limit, (row) => [String(row.seq)]);
    },
  };
}
