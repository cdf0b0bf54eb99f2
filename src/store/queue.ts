import type { CompiledQuery, Kysely, Transaction } from 'kysely';
import type { RunEvent } from '../../schemas/event.ts';
import { insertEvents } from './events.ts';
import { ACTIVE_STATES } from './run-states.ts';
import type { Database, RunRow } from './schema.ts';

/**
 * Selects the queued runs in the order in which the dispatcher claims them:
 * 1. Runs with an earlier attempt.
 * 2. Keys take turns. A key with fewer active runs comes first. Its runs follow each other, the ticket that was served
 *    least recently first.
 * 3. Among equals: the key, then the ticket, that was served least recently, then the oldest run.
 *
 * Runs of one ticket keep the order of their requests, whichever key made them. `served` counts claimed runs; no clock is
 * involved.
 */
function selectInOrder(db: Kysely<Database>) {
  return db
    .with('busy', (q) =>
      q
        .selectFrom('runs')
        .select((eb) => [eb.fn.coalesce('key_id', eb.val('')).as('holder'), eb.fn.countAll<number>().as('active')])
        .where('state', 'in', ACTIVE_STATES)
        .groupBy('key_id'),
    )
    .with('queued', (q) =>
      q
        .selectFrom('runs as run')
        .where('run.state', '=', 'queued')
        .select((eb) => [
          'run.run_id',
          'run.ticket_key',
          eb.fn.coalesce('run.key_id', eb.val('')).as('holder'),
          eb.case().when('run.attempt', '>', 0).then(0).else(1).end().as('attempted_first'),
          eb.fn
            .agg<number>('row_number')
            .over((over) => over.partitionBy('run.ticket_key').orderBy('run.run_id'))
            .as('nth'),
          eb.fn
            .coalesce(
              eb
                .selectFrom('runs as of_ticket')
                .select((e) => e.fn.max('of_ticket.served').as('served'))
                .whereRef('of_ticket.ticket_key', '=', 'run.ticket_key'),
              eb.lit(0),
            )
            .as('ticket_served'),
          eb.fn
            .coalesce(
              eb
                .selectFrom('runs as of_key')
                .select((e) => e.fn.max('of_key.served').as('served'))
                .whereRef('of_key.key_id', '=', 'run.key_id'),
              eb.lit(0),
            )
            .as('key_served'),
        ]),
    )
    .with('ranked', (q) =>
      q
        .selectFrom('queued')
        .leftJoin('busy', 'busy.holder', 'queued.holder')
        .selectAll('queued')
        .select((eb) =>
          eb(
            eb.fn
              .agg<number>('row_number')
              .over((over) =>
                over
                  .partitionBy('queued.holder')
                  .orderBy('queued.attempted_first')
                  .orderBy('queued.nth')
                  .orderBy('queued.ticket_served')
                  .orderBy('queued.run_id'),
              ),
            '+',
            eb.fn.coalesce('busy.active', eb.lit(0)),
          ).as('rank'),
        ),
    )
    .with('turns', (q) =>
      q
        .selectFrom('ranked')
        .selectAll()
        // A run never overtakes an earlier run of its ticket, whichever key is next.
        .select((eb) =>
          eb.fn
            .max<number>('rank')
            .over((over) => over.partitionBy('ticket_key').orderBy('nth'))
            .as('turn'),
        ),
    )
    .selectFrom('turns')
    .select('turns.run_id')
    .orderBy('turns.attempted_first')
    .orderBy('turns.turn')
    .orderBy('turns.nth')
    .orderBy('turns.key_served')
    .orderBy('turns.ticket_served')
    .orderBy('turns.run_id');
}

type RunIdQuery = CompiledQuery<{ run_id: string }>;

/** Compiled once: Kysely takes longer to build these queries than SQLite to run them. */
let compiled: { positions: RunIdQuery; next: RunIdQuery } | undefined;

function compiledQueries(db: Kysely<Database>) {
  compiled ??= {
    positions: selectInOrder(db).compile(),
    next: selectInOrder(db)
      .where((eb) =>
        eb.not(
          eb.exists(
            eb
              .selectFrom('runs as active')
              .select('active.run_id')
              .whereRef('active.ticket_key', '=', 'turns.ticket_key')
              .where('active.state', 'in', ACTIVE_STATES),
          ),
        ),
      )
      .limit(1)
      .compile(),
  };
  return compiled;
}

/** Returns the positions of the queued runs, by run id; 1 is next. */
export async function queuePositions(db: Kysely<Database>): Promise<Map<string, number>> {
  const { rows } = await db.executeQuery(compiledQueries(db).positions);
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
  const [next] = (await trx.executeQuery(compiledQueries(trx).next)).rows;
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
