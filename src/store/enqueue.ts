import type { Transaction } from 'kysely';
import { v7 as uuidv7 } from 'uuid';
import type { Action, Budget } from '../../schemas/run.ts';
import { AppError } from '../errors/app-error.ts';
import { insertEvents } from './events.ts';
import { findRecordedRun, recordRun } from './idempotency.ts';
import { ACTIVE_STATES, queuePositions } from './queue.ts';
import type { Database, RunRow } from './schema.ts';
import { ticketKey } from './tickets.ts';

/** Whoever finds the queue full asks again after at most so many seconds. */
const MAX_RETRY_AFTER_SECONDS = 600;

export type NewRun = {
  ticketId: string;
  action: Action;
  message?: string;
  agent: string;
  keyId: string;
  /** Record of the request's Idempotency-Key. */
  idempotencyId?: string;
  budget?: Budget;
  maxQueued: number;
  maxOpenPerKey: number;
  /** How long a run at a place of the queue will wait, in seconds; `null` when that is not known. */
  estimateWait: (position: number) => number | null;
};

/** A run, and where it stands in the queue if it was put there now. */
export type Enqueued = { row: RunRow; queued?: { position: number; estimated_wait_s: number | null } };

/** As `enqueue` of the store, in a transaction of the caller. */
export async function enqueue(trx: Transaction<Database>, run: NewRun): Promise<Enqueued> {
  const before = run.idempotencyId === undefined ? undefined : await findRecordedRun(trx, run.idempotencyId);
  if (before !== undefined) return { row: before };
  await requireReadyTicket(trx, run.ticketId);
  const ofKey = await countUnfinished(trx, run.keyId);
  if (ofKey >= run.maxOpenPerKey) {
    throw new AppError('too_many_runs', `${ofKey} runs of this key have not ended.`, { retryAfter: 30 });
  }
  const queued = await countQueued(trx);
  if (queued >= run.maxQueued) {
    const retryAfter = Math.min(Math.max(run.estimateWait(1) ?? 30, 1), MAX_RETRY_AFTER_SECONDS);
    throw new AppError('queue_full', `${queued} runs are waiting already.`, { retryAfter });
  }
  const createdAt = new Date().toISOString();
  const row = await trx
    .insertInto('runs')
    .values({
      run_id: uuidv7(),
      ticket_key: ticketKey(run.ticketId),
      ticket_id: run.ticketId,
      action: run.action,
      message: run.message ?? null,
      agent: run.agent,
      key_id: run.keyId,
      budget: run.budget === undefined ? null : JSON.stringify(run.budget),
      state: 'queued',
      last_seq: 1,
      created_at: createdAt,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  const position = queued === 0 ? 1 : ((await queuePositions(trx)).get(row.run_id) ?? queued + 1);
  const entry = { position, estimated_wait_s: run.estimateWait(position) };
  await insertEvents(trx, row.run_id, 1, createdAt, [{ type: 'run.queued', data: entry }]);
  if (run.idempotencyId !== undefined) await recordRun(trx, run.idempotencyId, row.run_id);
  return { row, queued: entry };
}

async function countUnfinished(trx: Transaction<Database>, keyId: string): Promise<number> {
  const { unfinished } = await trx
    .selectFrom('runs')
    .select((eb) => eb.fn.countAll<number>().as('unfinished'))
    .where('key_id', '=', keyId)
    .where('state', 'in', ['queued', ...ACTIVE_STATES])
    .executeTakeFirstOrThrow();
  return unfinished;
}

async function countQueued(trx: Transaction<Database>): Promise<number> {
  const { queued } = await trx
    .selectFrom('runs')
    .select((eb) => eb.fn.countAll<number>().as('queued'))
    .where('state', '=', 'queued')
    .executeTakeFirstOrThrow();
  return queued;
}

/** In the transaction of the insert: a ticket that is being removed gets no run any more. */
async function requireReadyTicket(trx: Transaction<Database>, ticketId: string): Promise<void> {
  const ticket = await trx
    .selectFrom('tickets')
    .select('state')
    .where('ticket_key', '=', ticketKey(ticketId))
    .executeTakeFirst();
  if (ticket === undefined || ticket.state === 'deleting') {
    throw new AppError('ticket_not_found', `There is no ticket ${ticketId}.`);
  }
  if (ticket.state === 'creating') {
    throw new AppError('ticket_busy', `Ticket ${ticketId} is being created.`, { retryAfter: 5 });
  }
}
