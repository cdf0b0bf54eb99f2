import type { Insertable, Kysely, Selectable, Updateable } from 'kysely';
import type { ChangeNotifier } from './change-notifier.ts';
import { decodeCursor, encodeCursor } from './page-cursor.ts';
import { inRepositories } from './repository-filter.ts';
import type { Database, TicketTable } from './schema.ts';

export type TicketRow = Selectable<TicketTable>;
export type NewTicket = Insertable<TicketTable>;
export type TicketStore = ReturnType<typeof createTicketStore>;

/** `ticket_id` as the store compares it. */
export function ticketKey(ticketId: string): string {
  return ticketId.toLowerCase();
}

export function createTicketStore(db: Kysely<Database>, changes: ChangeNotifier) {
  return {
    get(ticketId: string): Promise<TicketRow | undefined> {
      return db.selectFrom('tickets').selectAll().where('ticket_key', '=', ticketKey(ticketId)).executeTakeFirst();
    },

    /** Inserts unless the id is taken; tells whether it did. */
    async insert(row: NewTicket): Promise<boolean> {
      const inserted = await db
        .insertInto('tickets')
        .values(row)
        .onConflict((conflict) => conflict.column('ticket_key').doNothing())
        .returning('ticket_key')
        .executeTakeFirst();
      if (inserted === undefined) return false;
      changes.notify({ type: 'ticket', ticketKey: row.ticket_key, created: true });
      return true;
    },

    async update(ticketId: string, fields: Updateable<TicketTable>): Promise<void> {
      await db
        .updateTable('tickets')
        .set({ ...fields, updated_at: new Date().toISOString() })
        .where('ticket_key', '=', ticketKey(ticketId))
        .execute();
      changes.notify({ type: 'ticket', ticketKey: ticketKey(ticketId) });
    },

    /**
     * Marks a ticket as being removed, from when on it gets no run; one that is being created, anew perhaps, is left alone.
     * @param force also while it has runs that have not ended, or that the caller does not know of
     * @param lastRun id of the newest run that the caller knows of; empty when there was none
     * @returns false when its runs are in the way
     */
    async markDeleting(ticketId: string, force: boolean, lastRun: string): Promise<boolean> {
      const key = ticketKey(ticketId);
      const marked = await db.transaction().execute(async (trx) => {
        const hindrance = await trx
          .selectFrom('runs')
          .select('run_id')
          .where('ticket_key', '=', key)
          .where((eb) => eb.or([eb('state', 'in', ['queued', 'running', 'waiting']), eb('run_id', '>', lastRun)]))
          .executeTakeFirst();
        if (hindrance !== undefined && !force) return false;
        await trx
          .updateTable('tickets')
          .set({ state: 'deleting' })
          .where('ticket_key', '=', key)
          .where('state', '=', 'ready')
          .execute();
        return true;
      });
      if (marked) changes.notify({ type: 'ticket', ticketKey: key });
      return marked;
    },

    /** Removes a ticket that is marked as being removed, with its plans, runs and events. */
    async delete(ticketId: string): Promise<void> {
      const removed = await db
        .deleteFrom('tickets')
        .where('ticket_key', '=', ticketKey(ticketId))
        .where('state', '=', 'deleting')
        .returning(['ticket_id', 'repo_url'])
        .executeTakeFirst();
      if (removed === undefined) return;
      changes.notify({ type: 'ticket_deleted', ticketId: removed.ticket_id, repoUrl: removed.repo_url });
    },

    /** A page, newest first. */
    async list(query: {
      cursor?: string;
      limit: number;
      state?: TicketRow['state'];
      repositories?: readonly string[];
    }) {
      let select = db.selectFrom('tickets').selectAll();
      if (query.state !== undefined) select = select.where('state', '=', query.state);
      if (query.repositories !== undefined) select = select.where(inRepositories(query.repositories));
      if (query.cursor !== undefined) {
        const [createdAt = '', key = ''] = decodeCursor('tickets', query.cursor);
        select = select.where((eb) =>
          eb.or([
            eb('created_at', '<', createdAt),
            eb.and([eb('created_at', '=', createdAt), eb('ticket_key', '<', key)]),
          ]),
        );
      }
      const rows = await select
        .orderBy('created_at', 'desc')
        .orderBy('ticket_key', 'desc')
        .limit(query.limit + 1)
        .execute();
      const items = rows.slice(0, query.limit);
      const last = rows.length > query.limit ? items.at(-1) : undefined;
      return { items, nextCursor: last ? encodeCursor('tickets', [last.created_at, last.ticket_key]) : null };
    },

    listByState(state: TicketRow['state']): Promise<TicketRow[]> {
      return db.selectFrom('tickets').selectAll().where('state', '=', state).execute();
    },
  };
}
