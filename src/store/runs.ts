import type { Kysely, Selectable, Transaction, Updateable } from 'kysely';
import { v7 as uuidv7 } from 'uuid';
import type { EventDraft, RunEvent } from '../../schemas/event.ts';
import type { Action, Budget, RunState } from '../../schemas/run.ts';
import { AppError } from '../errors/app-error.ts';
import { decodeCursor, encodeCursor } from './cursors.ts';
import { insertEvents } from './events.ts';
import type { GroupCommit } from './group-commit.ts';
import { inRepositories } from './repositories.ts';
import type { Database, RunTable } from './schema.ts';
import { ticketKey } from './tickets.ts';

export type RunRow = Selectable<RunTable>;
export type RunStore = ReturnType<typeof createRunStore>;

/** What a writer may change of its run together with the events that say so. */
export type RunPatch = Pick<
  Updateable<RunTable>,
  'state' | 'session_id' | 'plan_version' | 'progress' | 'usage' | 'result' | 'error' | 'finished_at'
>;

export const ENDED_STATES = ['succeeded', 'failed', 'canceled', 'timed_out'] as const satisfies RunState[];
const ACTIVE_STATES = ['running', 'waiting'] as const satisfies RunState[];

/** The run was claimed by a newer attempt, or has ended: what an old writer holds is void. */
export class FencedError extends Error {
  override readonly name = 'FencedError';
}

export function createRunStore(db: Kysely<Database>, commit: GroupCommit) {
  return {
    get(runId: string): Promise<RunRow | undefined> {
      return db.selectFrom('runs').selectAll().where('run_id', '=', runId).executeTakeFirst();
    },

    /**
     * Puts a run into the queue with its first event.
     * @throws AppError `queue_full` when `maxQueued` runs are waiting already, `too_many_runs` when `maxOfKey` of this key
     * have not ended; `ticket_busy` and `ticket_not_found` while the ticket is being created or removed
     */
    enqueue(run: {
      ticketId: string;
      action: Action;
      message?: string | undefined;
      agent: string;
      keyId: string;
      budget?: Budget | undefined;
      maxQueued: number;
      maxOfKey: number;
    }) {
      return commit(async (trx) => {
        await checkReady(trx, run.ticketId);
        const ofKey = await countUnfinished(trx, run.keyId);
        if (ofKey >= run.maxOfKey) {
          throw new AppError('too_many_runs', `${ofKey} runs of this key have not ended.`, { retryAfter: 30 });
        }
        const queued = await countQueued(trx);
        if (queued >= run.maxQueued) {
          throw new AppError('queue_full', `${queued} runs are waiting already.`, { retryAfter: 30 });
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
        await insertEvents(trx, row.run_id, 1, createdAt, [{ type: 'run.queued', data: { position: queued + 1 } }]);
        return row;
      });
    },

    /** Takes the oldest queued run whose ticket has none under way; its attempt number is the fence of all its writes. */
    claim(): Promise<RunRow | undefined> {
      return commit(async (trx) => {
        const next = await trx
          .selectFrom('runs as queued')
          .select('queued.run_id')
          .where('queued.state', '=', 'queued')
          .where((eb) =>
            eb.not(
              eb.exists(
                eb
                  .selectFrom('runs as active')
                  .select('active.run_id')
                  .whereRef('active.ticket_key', '=', 'queued.ticket_key')
                  .where('active.state', 'in', ACTIVE_STATES),
              ),
            ),
          )
          .orderBy('queued.run_id')
          .limit(1)
          .executeTakeFirst();
        if (next === undefined) return undefined;
        return trx
          .updateTable('runs')
          .set((eb) => ({
            state: 'running',
            attempt: eb('attempt', '+', 1),
            started_at: eb.fn.coalesce('started_at', eb.val(new Date().toISOString())),
          }))
          .where('run_id', '=', next.run_id)
          .returningAll()
          .executeTakeFirstOrThrow();
      });
    },

    /**
     * Appends events to a run and changes the run in the same transaction.
     * @param fence the attempt the writer works for
     * @throws FencedError when another attempt took over, or the run has ended
     */
    append(runId: string, fence: number, drafts: readonly EventDraft[], patch: RunPatch = {}): Promise<RunEvent[]> {
      return commit(async (trx) => {
        const row = await trx
          .updateTable('runs')
          .set((eb) => ({ ...patch, last_seq: eb('last_seq', '+', drafts.length) }))
          .where('run_id', '=', runId)
          .where('attempt', '=', fence)
          .where('state', 'not in', ENDED_STATES)
          .returning('last_seq')
          .executeTakeFirst();
        if (row === undefined) throw new FencedError(`attempt ${fence} of run ${runId} may not write any more`);
        return insertEvents(trx, runId, row.last_seq - drafts.length + 1, new Date().toISOString(), drafts);
      });
    },

    active(): Promise<RunRow[]> {
      return db.selectFrom('runs').selectAll().where('state', 'in', ACTIVE_STATES).orderBy('run_id').execute();
    },

    /** Runs of a ticket that have not ended, oldest first. */
    unfinished(ticketId: string): Promise<RunRow[]> {
      return db
        .selectFrom('runs')
        .selectAll()
        .where('ticket_key', '=', ticketKey(ticketId))
        .where('state', 'not in', ENDED_STATES)
        .orderBy('run_id')
        .execute();
    },

    /** Usage, as JSON, of each run that a key has asked for since a time. */
    async usageOfKey(keyId: string, since: string): Promise<string[]> {
      const rows = await db
        .selectFrom('runs')
        .select('usage')
        .where('key_id', '=', keyId)
        .where('created_at', '>=', since)
        .execute();
      return rows.map((row) => row.usage);
    },

    async idsOf(ticketId: string): Promise<string[]> {
      const rows = await db.selectFrom('runs').select('run_id').where('ticket_key', '=', ticketKey(ticketId)).execute();
      return rows.map((row) => row.run_id);
    },

    /** The newest ended runs of a ticket, oldest first. */
    async ended(ticketId: string, limit: number): Promise<RunRow[]> {
      const rows = await db
        .selectFrom('runs')
        .selectAll()
        .where('ticket_key', '=', ticketKey(ticketId))
        .where('state', 'in', ENDED_STATES)
        .orderBy('run_id', 'desc')
        .limit(limit)
        .execute();
      return rows.reverse();
    },

    /** The agent's id of the ticket's conversation, as the newest run that had one left it. */
    async lastSession(ticketId: string, agent: string): Promise<string | undefined> {
      const row = await db
        .selectFrom('runs')
        .select('session_id')
        .where('ticket_key', '=', ticketKey(ticketId))
        .where('agent', '=', agent)
        .where('session_id', 'is not', null)
        .orderBy('run_id', 'desc')
        .executeTakeFirst();
      return row?.session_id ?? undefined;
    },

    async lastOf(ticketKeys: readonly string[]): Promise<Map<string, RunRow>> {
      if (ticketKeys.length === 0) return new Map();
      const rows = await db
        .selectFrom('runs')
        .selectAll()
        .where('run_id', 'in', (eb) =>
          eb
            .selectFrom('runs as r')
            .select((e) => e.fn.max('r.run_id').as('run_id'))
            .where('r.ticket_key', 'in', ticketKeys)
            .groupBy('r.ticket_key'),
        )
        .execute();
      return new Map(rows.map((row) => [row.ticket_key, row]));
    },

    /** Place of a queued run in the queue; 1 is next. */
    async position(runId: string): Promise<number> {
      const { ahead } = await db
        .selectFrom('runs')
        .select((eb) => eb.fn.countAll<number>().as('ahead'))
        .where('state', '=', 'queued')
        .where('run_id', '<', runId)
        .executeTakeFirstOrThrow();
      return Number(ahead) + 1;
    },

    /** A page, newest first. */
    async list(query: {
      ticketId?: string;
      cursor?: string | undefined;
      limit: number;
      state?: RunState | undefined;
      repositories?: readonly string[] | undefined;
    }) {
      let select = db.selectFrom('runs').selectAll();
      if (query.ticketId !== undefined) select = select.where('ticket_key', '=', ticketKey(query.ticketId));
      if (query.state !== undefined) select = select.where('state', '=', query.state);
      const { repositories } = query;
      if (repositories !== undefined) {
        select = select.where('ticket_key', 'in', (eb) =>
          eb.selectFrom('tickets').select('ticket_key').where(inRepositories(repositories)),
        );
      }
      if (query.cursor !== undefined) select = select.where('run_id', '<', decodeCursor(query.cursor, 1)[0] ?? '');
      const rows = await select
        .orderBy('run_id', 'desc')
        .limit(query.limit + 1)
        .execute();
      const items = rows.slice(0, query.limit);
      const last = rows.length > query.limit ? items.at(-1) : undefined;
      return { items, nextCursor: last ? encodeCursor([last.run_id]) : null };
    },
  };
}

async function countUnfinished(trx: Transaction<Database>, keyId: string): Promise<number> {
  const { unfinished } = await trx
    .selectFrom('runs')
    .select((eb) => eb.fn.countAll<number>().as('unfinished'))
    .where('key_id', '=', keyId)
    .where('state', 'in', ['queued', ...ACTIVE_STATES])
    .executeTakeFirstOrThrow();
  return Number(unfinished);
}

async function countQueued(trx: Transaction<Database>): Promise<number> {
  const { queued } = await trx
    .selectFrom('runs')
    .select((eb) => eb.fn.countAll<number>().as('queued'))
    .where('state', '=', 'queued')
    .executeTakeFirstOrThrow();
  return Number(queued);
}

/** In the transaction of the insert: a ticket that is being removed gets no run any more. */
async function checkReady(trx: Transaction<Database>, ticketId: string): Promise<void> {
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
