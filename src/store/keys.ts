import type { Insertable, Kysely, Selectable } from 'kysely';
import type { GroupCommit } from './group-commit.ts';
import { decodeCursor, encodeCursor } from './page-cursor.ts';
import type { Database, KeyTable } from './schema.ts';

export type KeyRow = Selectable<KeyTable>;
export type KeyStore = ReturnType<typeof createKeyStore>;

export function createKeyStore(db: Kysely<Database>, commit: GroupCommit) {
  return {
    all(): Promise<KeyRow[]> {
      return db.selectFrom('keys').selectAll().execute();
    },

    insert(row: Insertable<KeyTable>): Promise<KeyRow> {
      return commit((trx) => trx.insertInto('keys').values(row).returningAll().executeTakeFirstOrThrow());
    },

    /** Notes when a key was used last. */
    async recordUse(keyId: string, time: string): Promise<void> {
      await commit((trx) => trx.updateTable('keys').set({ last_used_at: time }).where('key_id', '=', keyId).execute());
    },

    async revoke(keyId: string, time: string): Promise<void> {
      await commit((trx) => trx.updateTable('keys').set({ revoked_at: time }).where('key_id', '=', keyId).execute());
    },

    /** A page, newest first. */
    async list(query: { cursor?: string; limit: number }) {
      let select = db.selectFrom('keys').selectAll();
      if (query.cursor !== undefined) {
        const [createdAt = '', keyId = ''] = decodeCursor('keys', query.cursor);
        select = select.where((eb) =>
          eb.or([
            eb('created_at', '<', createdAt),
            eb.and([eb('created_at', '=', createdAt), eb('key_id', '<', keyId)]),
          ]),
        );
      }
      const rows = await select
        .orderBy('created_at', 'desc')
        .orderBy('key_id', 'desc')
        .limit(query.limit + 1)
        .execute();
      const items = rows.slice(0, query.limit);
      const last = rows.length > query.limit ? items.at(-1) : undefined;
      return { items, nextCursor: last ? encodeCursor('keys', [last.created_at, last.key_id]) : null };
    },
  };
}
