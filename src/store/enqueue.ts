import type { Transaction } from 'kysely';
import { v7 as uuidv7 } from 'uuid';
import type { Action, Budget, RunState } from '../../schemas/run.ts';
import { AppError } from '../errors/app-error.ts';
import { insertEvents } from './events.ts';
import { findRecordedRun, recordRun } from './idempotency.ts';
import { queuePositions } from './queue.ts';
import { OPEN_STATES } from './run-states.ts';
import type { Database, RunRow } from './schema.ts';
import { ticketKey } from './tickets.ts';

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
  /** Open runs that one key can have. */
  maxOpenPerKey: number;
  /** Estimates the wait at a position of the queue, in seconds; `null` when it is unknown. */
  estimateWait: (position: number) => number | null;
};

/** A run. `queued` is absent when an earlier request with the same idempotency record started it. */
export type Enqueued = { row: RunRow; queued?: { position: number; estimated_wait_s: number | null } };

/** Implements `enqueue` of the run store, in the caller's transaction. */
export async function enqueue(trx: Transaction<Database>, run: NewRun): Promise<Enqueued> {
  const existing = run.idempotencyId === undefined ? undefined : await findRecordedRun(trx, run.idempotencyId);
  if (existing !== undefined) return { row: existing };
  await requireReadyTicket(trx, run.ticketId);
  const ofKey = await countRuns(trx, OPEN_STATES, run.keyId);
  if (ofKey >= run.maxOpenPerKey) {
    throw new AppError('too_many_runs', `${ofKey} runs of this key have not finished.`, { retryAfter: 30 });
  }
  const ahead = await countRuns(trx, ['queued']);
  if (ahead >= run.maxQueued) {
    const retryAfter = Math.min(Math.max(run.estimateWait(1) ?? 30, 1), MAX_RETRY_AFTER_SECONDS);
    throw new AppError('queue_full', `${ahead} runs are already waiting.`, { retryAfter });
  }
  const createdAt = new Date().toISOString();
  const row = await insertRun(trx, run, createdAt);
  const position = ahead === 0 ? 1 : ((await queuePositions(trx)).get(row.run_id) ?? ahead + 1);
  const queued = { position, estimated_wait_s: run.estimateWait(position) };
  await insertEvents(trx, row.run_id, 1, createdAt, [{ type: 'run.queued', data: queued }]);
  if (run.idempotencyId !== undefined) await recordRun(trx, run.idempotencyId, row.run_id);
  return { row, queued };
}

function insertRun(trx: Transaction<Database>, run: NewRun, createdAt: string): Promise<RunRow> {
  return trx
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
}

async function countRuns(trx: Transaction<Database>, states: readonly RunState[], keyId?: string): Promise<number> {
  let select = trx.selectFrom('runs').where('state', 'in', states);
  if (keyId !== undefined) select = select.where('key_id', '=', keyId);
  const { count } = await select.select((eb) => eb.fn.countAll<number>().as('count')).executeTakeFirstOrThrow();
  return count;
}

/** Runs in the transaction of the insert, so that a ticket in deletion gets no new run. */
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
    throw new AppError('ticket_busy', `The server is still creating ticket ${ticketId}.`, { retryAfter: 5 });
  }
}
