import type { Insertable, Kysely, Selectable, Updateable } from 'kysely';
import type { ChangeNotifier } from './change-notifier.ts';
import { decodeCursor, toPage } from './page-cursor.ts';
import { inRepositories } from './repository-filter.ts';
import { OPEN_STATES } from './run-states.ts';
import type { Database, TicketTable } from './schema.ts';

export type TicketRow = Selectable<TicketTable>;
export type NewTicket = Insertable<TicketTable>;
export type TicketStore = ReturnType<typeof createTicketStore>;

/** Returns the form of a `ticket_id` that the store compares: ids are unique without regard to case. */
export function ticketKey(ticketId: string): string {
  return ticketId.toLowerCase();
}

export function createTicketStore(db: Kysely<Database>, changes: ChangeNotifier) {
  return {
    get(ticketId: string): Promise<TicketRow | undefined> {
      return db.selectFrom('tickets').selectAll().where('ticket_key', '=', ticketKey(ticketId)).executeTakeFirst();
    },

    /** Inserts a ticket; returns false when its id is taken. */
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
     * Puts a ticket that is `ready` into the state `deleting`; from then on it gets no runs.
     * @param force also when it has open runs, or runs newer than `lastRun`
     * @param lastRun id of the newest run that the caller has seen; empty for none
     * @returns false when such runs exist and `force` is not set
     */
    async markDeleting(ticketId: string, force: boolean, lastRun: string): Promise<boolean> {
      const key = ticketKey(ticketId);
      const marked = await db.transaction().execute(async (trx) => {
        const blocking = await trx
          .selectFrom('runs')
          .select('run_id')
          .where('ticket_key', '=', key)
          .where((eb) => eb.or([eb('state', 'in', OPEN_STATES), eb('run_id', '>', lastRun)]))
          .executeTakeFirst();
        if (blocking !== undefined && !force) return false;
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

    /** Deletes a ticket in the state `deleting`, with its plans, runs and events. */
    async delete(ticketId: string): Promise<void> {
      const deleted = await db
        .deleteFrom('tickets')
        .where('ticket_key', '=', ticketKey(ticketId))
        .where('state', '=', 'deleting')
        .returning(['ticket_id', 'repo_url'])
        .executeTakeFirst();
      if (deleted === undefined) return;
      changes.notify({ type: 'ticket_deleted', ticketId: deleted.ticket_id, repoUrl: deleted.repo_url });
    },

    /** Reads a page, newest first. */
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
        select = select.where(({ eb, refTuple, tuple }) =>
          eb(refTuple('created_at', 'ticket_key'), '<', tuple(createdAt, key)),
        );
      }
      const rows = await select
        .orderBy('created_at', 'desc')
        .orderBy('ticket_key', 'desc')
        .limit(query.limit + 1)
        .execute();
      return toPage('tickets', rows, query.limit, (row) => [row.created_at, row.ticket_key]);
    },

    listByState(state: TicketRow['state']): Promise<TicketRow[]> {
      return db.selectFrom('tickets').selectAll().where('state', '=', state).execute();
    },
  };
}
