import type { Kysely, Transaction } from 'kysely';
import type { EventDraft } from '../../schemas/event.ts';
import { decodeCursor, toPage } from './page-cursor.ts';
import { ticketKeysIn } from './repository-filter.ts';
import type { Database } from './schema.ts';

export type PermissionStore = ReturnType<typeof createPermissionStore>;
export type PermissionRow = NonNullable<Awaited<ReturnType<PermissionStore['get']>>>;

export function createPermissionStore(db: Kysely<Database>) {
  const selectAll = () =>
    db
      .selectFrom('permissions')
      .innerJoin('runs', 'runs.run_id', 'permissions.run_id')
      .selectAll('permissions')
      .select(['runs.ticket_id', 'runs.action']);

  /** Selects the permissions that a person can answer: their run still waits, in the attempt that asked. */
  const selectOpen = () =>
    selectAll()
      .where('permissions.decision', 'is', null)
      .where('runs.state', '=', 'waiting')
      .whereRef('runs.attempt', '=', 'permissions.attempt');

  return {
    get(permissionId: string) {
      return selectAll().where('permission_id', '=', permissionId).executeTakeFirst();
    },

    /** Reads all open permissions, oldest first. */
    open() {
      return selectOpen().orderBy('permission_id').execute();
    },

    /** Reads a page of the open permissions, oldest first. */
    async listOpen(query: { cursor?: string; limit: number; repositories?: readonly string[] }) {
      const { cursor, limit, repositories } = query;
      let select = selectOpen();
      if (repositories !== undefined) {
        select = select.where('runs.ticket_key', 'in', ticketKeysIn(db, repositories));
      }
      if (cursor !== undefined) {
        select = select.where('permission_id', '>', decodeCursor('permissions', cursor)[0] ?? '');
      }
      const rows = await select
        .orderBy('permission_id')
        .limit(limit + 1)
        .execute();
      return toPage('permissions', rows, limit, (row) => [row.permission_id]);
    },
  };
}

/** Updates the table by the permission events of a run, in the transaction that appends them. */
export async function recordPermissions(
  trx: Transaction<Database>,
  { runId, attempt, time }: { runId: string; attempt: number; time: string },
  drafts: readonly EventDraft[],
): Promise<void> {
  for (const { type, data } of drafts) {
    if (type === 'permission.requested') {
      const { permission_id, deadline } = data;
      const row = { permission_id, run_id: runId, attempt, question: JSON.stringify(data), asked_at: time, deadline };
      await trx.insertInto('permissions').values(row).execute();
    } else if (type === 'permission.resolved' && data.by !== 'policy') {
      await trx
        .updateTable('permissions')
        .set({ decision: data.decision, decided_by: data.by, resolved_at: time })
        .where('permission_id', '=', data.permission_id)
        .where('run_id', '=', runId)
        .where('decision', 'is', null)
        .execute();
    }
  }
}
