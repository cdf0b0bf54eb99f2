import type { Insertable, Kysely, Selectable } from 'kysely';
import type { GroupCommit } from './group-commit.ts';
import { decodeCursor, encodeCursor } from './page-cursor.ts';
import type { AuditTable, Database } from './schema.ts';

export type AuditRow = Selectable<AuditTable>;
export type AuditStore = ReturnType<typeof createAuditStore>;

/** The audit log; the database itself refuses to change or remove what is in it. */
export function createAuditStore(db: Kysely<Database>, commit: GroupCommit) {
  return {
    async append(entry: Omit<Insertable<AuditTable>, 'seq'>): Promise<void> {
      await commit((trx) => trx.insertInto('audit').values(entry).execute());
    },

    /** A page, newest first. */
    async list(query: { cursor?: string; limit: number }) {
      let select = db.selectFrom('audit').selectAll();
      if (query.cursor !== undefined) select = select.where('seq', '<', Number(decodeCursor('audit', query.cursor)[0]));
      const rows = await select
        .orderBy('seq', 'desc')
        .limit(query.limit + 1)
        .execute();
      const items = rows.slice(0, query.limit);
      const last = rows.length > query.limit ? items.at(-1) : undefined;
      return { items, nextCursor: last ? encodeCursor('audit', [String(last.seq)]) : null };
    },
  };
}
