import type { CompiledQuery, Kysely, Selectable, Transaction } from 'kysely';
import type { RunEvent } from '../../schemas/event.ts';
import type { RunState } from '../../schemas/run.ts';
import { insertEvents } from './events.ts';
import type { Database, RunTable } from './schema.ts';

export const ACTIVE_STATES = ['running', 'waiting'] as const satisfies RunState[];

/**
 * The queued runs in the order in which they will be taken:
 * 1. runs that were begun before and cut short;
 * 2. by turns: a key with fewer runs under way comes first, and its own runs wait for one another, those of tickets that
 *    were served longest ago first;
 * 3. among equals, the key, then the ticket, that was served longest ago, then the oldest run.
 *
 * Runs of one ticket keep the order in which they were asked for, whoever asked. Time is counted in runs taken
 * (`served`), not by a clock.
 */
function inOrder(db: Kysely<Database>) {
  return db
    .with('busy', (q) =>
      q
        .selectFrom('runs')
        .select((eb) => [eb.fn.coalesce('key_id', eb.val('')).as('holder'), eb.fn.countAll<number>().as('under_way')])
        .where('state', 'in', ACTIVE_STATES)
        .groupBy('key_id'),
    )
    .with('waiting', (q) =>
      q
        .selectFrom('runs as run')
        .where('run.state', '=', 'queued')
        .select((eb) => [
          'run.run_id',
          'run.ticket_key',
          eb.fn.coalesce('run.key_id', eb.val('')).as('holder'),
          eb.case().when('run.attempt', '>', 0).then(0).else(1).end().as('begun_first'),
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
        .selectFrom('waiting')
        .leftJoin('busy', 'busy.holder', 'waiting.holder')
        .selectAll('waiting')
        .select((eb) =>
          eb(
            eb.fn
              .agg<number>('row_number')
              .over((over) =>
                over
                  .partitionBy('waiting.holder')
                  .orderBy('waiting.begun_first')
                  .orderBy('waiting.nth')
                  .orderBy('waiting.ticket_served')
                  .orderBy('waiting.run_id'),
              ),
            '+',
            eb.fn.coalesce('busy.under_way', eb.lit(0)),
          ).as('rank'),
        ),
    )
    .with('turns', (q) =>
      q
        .selectFrom('ranked')
        .selectAll()
        // Not before those of its ticket that were asked for earlier, whoever's turn it is.
        .select((eb) =>
          eb.fn
            .max<number>('rank')
            .over((over) => over.partitionBy('ticket_key').orderBy('nth'))
            .as('turn'),
        ),
    )
    .selectFrom('turns')
    .select('turns.run_id')
    .orderBy('turns.begun_first')
    .orderBy('turns.turn')
    .orderBy('turns.nth')
    .orderBy('turns.key_served')
    .orderBy('turns.ticket_served')
    .orderBy('turns.run_id');
}

/** The two questions below, put together once: it takes longer than to answer them. */
let compiled: { positions: CompiledQuery<{ run_id: string }>; next: CompiledQuery<{ run_id: string }> } | undefined;

function compiledQueries(db: Kysely<Database>) {
  compiled ??= {
    positions: inOrder(db).compile(),
    next: inOrder(db)
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

/** Places of the queued runs, by run; 1 is next. */
export async function queuePositions(db: Kysely<Database>): Promise<Map<string, number>> {
  const { rows } = await db.executeQuery(compiledQueries(db).positions);
  return new Map(rows.map(({ run_id }, index) => [run_id, index + 1]));
}

export type Claimed = { row: Selectable<RunTable>; events: RunEvent[] };

/** Begins the next attempt of the first run in the queue whose ticket has none under way, with the event that says so. */
export async function claimNext(trx: Transaction<Database>): Promise<Claimed | undefined> {
  // Most often nothing is queued, which the index tells at once.
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
