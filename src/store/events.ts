import type { Kysely, Selectable, Transaction } from 'kysely';
import { type EventDraft, eventData, type RunEvent } from '../../schemas/event.ts';
import type { Database, EventTable } from './schema.ts';

/** SQLite binds at most 32,766 parameters a statement; each event takes five. */
const ROWS_PER_INSERT = 1000;

export type EventStore = ReturnType<typeof createEventStore>;

export function createEventStore(db: Kysely<Database>) {
  return {
    /** Events of a run with `seq` above `after`, in order, at most `limit`. */
    async read(runId: string, after: number, limit: number): Promise<RunEvent[]> {
      const rows = await db
        .selectFrom('events')
        .selectAll()
        .where('run_id', '=', runId)
        .where('seq', '>', after)
        .orderBy('seq')
        .limit(limit)
        .execute();
      return rows.map(toEvent);
    },

    /** `seq` of the first event of a run that is still there. */
    async firstSeq(runId: string): Promise<number | undefined> {
      const row = await db
        .selectFrom('events')
        .select('seq')
        .where('run_id', '=', runId)
        .orderBy('seq')
        .limit(1)
        .executeTakeFirst();
      return row?.seq;
    },
  };
}

/** Writes drafts as events `firstSeq`, `firstSeq + 1` ...; the caller has reserved the numbers. */
export async function insertEvents(
  trx: Transaction<Database>,
  runId: string,
  firstSeq: number,
  time: string,
  drafts: readonly EventDraft[],
): Promise<RunEvent[]> {
  // Ordered like a row: whoever reads an event again, from the store, gets the same bytes.
  const events = drafts.map((draft, index) => ({ run_id: runId, seq: firstSeq + index, time, ...draft }));
  for (let start = 0; start < events.length; start += ROWS_PER_INSERT) {
    const rows = events
      .slice(start, start + ROWS_PER_INSERT)
      .map((event) => ({ ...event, data: JSON.stringify(event.data) }));
    await trx.insertInto('events').values(rows).execute();
  }
  return events;
}

function toEvent(row: Selectable<EventTable>): RunEvent {
  const event = { ...row, data: JSON.parse(row.data) };
  if (!isEvent(event)) throw new Error(`event ${row.seq} of run ${row.run_id} has the unknown type ${row.type}`);
  return event;
}

/** The only writer is `insertEvents`, which takes well-typed drafts; only the type can be a stranger, after a downgrade. */
function isEvent(event: { type: string }): event is RunEvent {
  return event.type in eventData;
}
