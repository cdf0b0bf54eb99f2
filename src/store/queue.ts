import { type Kysely, sql, type Transaction } from 'kysely';
import type { RunEvent } from '../../schemas/event.ts';
import { insertEvents } from './events.ts';
import { ACTIVE_STATES } from './run-states.ts';
import type { Database, RunRow } from './schema.ts';

const ACTIVE = sql.join(ACTIVE_STATES.map((state) => sql.lit(state)));

/**
 * Selects the queued runs in the order in which the dispatcher claims them:
 * 1. Runs with an earlier attempt.
 * 2. Keys alternate. A key with fewer active runs comes first. Within a key, the ticket that was served least recently
 *    comes first.
 * 3. Among equals: the key, then the ticket, that was served least recently, then the oldest run.
 *
 * Runs of one ticket keep the order of their requests, whichever key made them. `served` counts claimed runs; no clock is
 * involved.
 */
const QUEUE = sql`
  with busy as (
    select coalesce(key_id, '') as holder, count(*) as active from runs where state in (${ACTIVE}) group by key_id
  ), queued as (
    select run_id, ticket_key, coalesce(key_id, '') as holder, attempt = 0 as is_new,
      row_number() over (partition by ticket_key order by run_id) as nth,
      coalesce((select max(served) from runs as other where other.ticket_key = run.ticket_key), 0) as ticket_served,
      coalesce((select max(served) from runs as other where other.key_id = run.key_id), 0) as key_served
    from runs as run where state = 'queued'
  ), ranked as (
    select queued.*, coalesce(busy.active, 0) + row_number() over
      (partition by queued.holder order by is_new, nth, ticket_served, run_id) as rank
    from queued left join busy on busy.holder = queued.holder
  ), rounds as (
    -- A run never overtakes an earlier run of its ticket, whichever key is next.
    select *, max(rank) over (partition by ticket_key order by nth) as key_round from ranked
  )
  select run_id from rounds`;
const ORDER = sql`order by is_new, key_round, nth, key_served, ticket_served, run_id`;

const ALL = sql<{ run_id: string }>`${QUEUE} ${ORDER}`;

/** Selects the first run whose ticket has no active run. */
const NEXT = sql<{ run_id: string }>`${QUEUE} where not exists (
    select 1 from runs as active where active.ticket_key = rounds.ticket_key and active.state in (${ACTIVE})
  ) ${ORDER} limit 1`;

/** Returns the positions of the queued runs, by run id; 1 is next. */
export async function queuePositions(db: Kysely<Database>): Promise<Map<string, number>> {
  const { rows } = await ALL.execute(db);
  return new Map(rows.map(({ run_id }, index) => [run_id, index + 1]));
}

export type Claimed = { row: RunRow; events: RunEvent[] };

/** Starts the next attempt of the first queued run whose ticket has no active run, and appends `run.started`. */
export async function claimNext(trx: Transaction<Database>): Promise<Claimed | undefined> {
  // The queue is mostly empty, and the index shows that faster than the query below.
  const queued = await trx
    .selectFrom('runs')
    .select('run_id')
    .where('state', '=', 'queued')
    .limit(1)
    .executeTakeFirst();
  if (queued === undefined) return undefined;
  const [next] = (await NEXT.execute(trx)).rows;
  if (next === undefined) return undefined;
  const now = new Date().toISOString();
  const row = await trx
    .updateTable('runs')
    .set((eb) => ({
      state: 'running',
      attempt: eb('attempt', '+', 1),
      last_seq: eb('last_seq', '+', 1),
      served: eb
        .selectFrom('runs as others')
        .select((e) => e(e.fn.coalesce(e.fn.max('others.served'), e.lit(0)), '+', 1).as('next')),
      started_at: eb.fn.coalesce('started_at', eb.val(now)),
    }))
    .where('run_id', '=', next.run_id)
    .returningAll()
    .executeTakeFirstOrThrow();
  const { run_id, last_seq, attempt, agent } = row;
  const events = await insertEvents(trx, run_id, last_seq, now, [{ type: 'run.started', data: { attempt, agent } }]);
  return { row, events };
}
