import type { Insertable, Kysely, Selectable } from 'kysely';
import type { GroupCommit } from './group-commit.ts';
import { decodeCursor, toPage } from './page-cursor.ts';
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

    async recordUse(keyId: string, time: string): Promise<void> {
      await commit((trx) => trx.updateTable('keys').set({ last_used_at: time }).where('key_id', '=', keyId).execute());
    },

    async revoke(keyId: string, time: string): Promise<void> {
      await commit((trx) => trx.updateTable('keys').set({ revoked_at: time }).where('key_id', '=', keyId).execute());
    },

    /** Reads a page, newest first. */
    async list({ cursor, limit }: { cursor?: string; limit: number }) {
      let select = db.selectFrom('keys').selectAll();
      if (cursor !== undefined) {
        const [createdAt = '', keyId = ''] = decodeCursor('keys', cursor);
        select = select.where(({ eb, refTuple, tuple }) =>
          eb(refTuple('created_at', 'key_id'), '<', tuple(createdAt, keyId)),
        );
      }
      const rows = await select
        .orderBy('created_at', 'desc')
        .orderBy('key_id', 'desc')
        .limit(limit + 1)
        .execute();
      return toPage('keys', rows, limit, (row) => [row.created_at, row.key_id]);
    },
  };
}
