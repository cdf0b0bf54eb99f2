import type { Kysely, Transaction } from 'kysely';
import type { EventDraft } from '../../schemas/event.ts';
import { decodeCursor, encodeCursor } from './page-cursor.ts';
import { inRepositories } from './repository-filter.ts';
import type { Database } from './schema.ts';

export type PermissionStore = ReturnType<typeof createPermissionStore>;
export type PermissionRow = NonNullable<Awaited<ReturnType<PermissionStore['get']>>>;

export function createPermissionStore(db: Kysely<Database>) {
  const all = () =>
    db
      .selectFrom('permissions')
      .innerJoin('runs', 'runs.run_id', 'permissions.run_id')
      .selectAll('permissions')
      .select(['runs.ticket_id', 'runs.action']);

  /** Those that can be answered: their run waits, in the attempt that asked. */
  const open = () =>
    all()
      .where('permissions.decision', 'is', null)
      .where('runs.state', '=', 'waiting')
      .whereRef('runs.attempt', '=', 'permissions.attempt');

  return {
    get(permissionId: string) {
      return all().where('permission_id', '=', permissionId).executeTakeFirst();
    },

    /** All that can be answered, with the attempt that may write to the run. */
    open() {
      return open().orderBy('permission_id').execute();
    },

    /** A page of those that can be answered, oldest first. */
    async listOpen(query: { cursor?: string; limit: number; repositories?: readonly string[] }) {
      let select = open();
      const { repositories } = query;
      if (repositories !== undefined) {
        select = select.where('runs.ticket_key', 'in', (eb) =>
          eb.selectFrom('tickets').select('ticket_key').where(inRepositories(repositories)),
        );
      }
      if (query.cursor !== undefined)
        select = select.where('permission_id', '>', decodeCursor('permissions', query.cursor)[0] ?? '');
      const rows = await select
        .orderBy('permission_id')
        .limit(query.limit + 1)
        .execute();
      const items = rows.slice(0, query.limit);
      const last = rows.length > query.limit ? items.at(-1) : undefined;
      return { items, nextCursor: last ? encodeCursor('permissions', [last.permission_id]) : null };
    },
  };
}

/** Keeps the table in step with the events of a run that ask and answer. */
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
