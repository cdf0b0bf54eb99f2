import { type Kysely, type Selectable, sql, type Transaction } from 'kysely';
import { type EventDraft, eventData, type RunEvent } from '../../schemas/event.ts';
import { EVENT_OVERHEAD } from './event-size.ts';
import type { Database, EventTable } from './schema.ts';

export type EventStore = ReturnType<typeof createEventStore>;

export function createEventStore(db: Kysely<Database>) {
  return {
    /** Reads at most `limit` events of a run with `seq` above `after`, in order. */
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

    /** Returns `seq` of the oldest event of a run that retention has kept. */
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

    /** Sums up the sizes of a run's events, in bytes; see event-size.ts. */
    async size(runId: string): Promise<number> {
      const row = await db
        .selectFrom('events')
        .select(sql<number>`coalesce(sum(octet_length(data)), 0) + count(*) * ${EVENT_OVERHEAD}`.as('size'))
        .where('run_id', '=', runId)
        .executeTakeFirstOrThrow();
      return row.size;
    },
  };
}

/** Inserts drafts as the events `firstSeq`, `firstSeq + 1` ...; the caller has reserved these numbers. */
export async function insertEvents(
  trx: Transaction<Database>,
  runId: string,
  firstSeq: number,
  time: string,
  drafts: readonly EventDraft[],
): Promise<RunEvent[]> {
  // Keys in the order of the columns: an event has the same bytes when it is read from the store later.
  const events = drafts.map((draft, index) => ({ run_id: runId, seq: firstSeq + index, time, ...draft }));
  if (events.length === 0) return [];
  // The same statement for any number of events: SQLite prepares it once, and Kysely builds no list of values.
  const rows = JSON.stringify(events.map(({ type, data }) => [type, JSON.stringify(data)]));
  await sql`insert into events (run_id, seq, time, type, data)
    select ${runId}, ${firstSeq} + key, ${time}, value ->> 0, value ->> 1 from json_each(${rows})`.execute(trx);
  return events;
}

function toEvent(row: Selectable<EventTable>): RunEvent {
  const event = { ...row, data: JSON.parse(row.data) };
  if (!isEvent(event)) throw new Error(`event ${row.seq} of run ${row.run_id} has the unknown type ${row.type}`);
  return event;
}

/** Only `insertEvents` writes events, and it takes typed drafts. A type can be unknown after a downgrade of the server. */
function isEvent(event: { type: string }): event is RunEvent {
  return event.type in eventData;
}
