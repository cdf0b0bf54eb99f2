import { type Kysely, sql, type Updateable } from 'kysely';
import type { EventDraft, RunEvent } from '../../schemas/event.ts';
import type { Action, RunState, Usage } from '../../schemas/run.ts';
import type { ChangeNotifier } from './change-notifier.ts';
import { type Enqueued, enqueue, type NewRun } from './enqueue.ts';
import { insertEvents } from './events.ts';
import type { GroupCommit, Write } from './group-commit.ts';
import { decodeCursor, encodeCursor } from './page-cursor.ts';
import { recordPermissions } from './permissions.ts';
import { ACTIVE_STATES, claimNext, queuePositions } from './queue.ts';
import { inRepositories } from './repository-filter.ts';
import type { Database, RunRow, RunTable } from './schema.ts';
import { ticketKey } from './tickets.ts';

export type RunStore = ReturnType<typeof createRunStore>;

/** What a writer may change of its run together with the events that say so. */
export type RunPatch = Pick<
  Updateable<RunTable>,
  'state' | 'session_id' | 'plan_version' | 'progress' | 'usage' | 'result' | 'error' | 'finished_at' | 'duration_ms'
>;

export const TERMINAL_STATES = ['succeeded', 'failed', 'canceled', 'timed_out'] as const satisfies RunState[];

/** The run was claimed by a newer attempt, or has ended: what an old writer holds is void. */
export class FencedError extends Error {
  override readonly name = 'FencedError';
}

export function createRunStore(db: Kysely<Database>, commit: GroupCommit, { notify }: ChangeNotifier) {
  return {
    get(runId: string): Promise<RunRow | undefined> {
      return db.selectFrom('runs').selectAll().where('run_id', '=', runId).executeTakeFirst();
    },

    /**
     * Puts a run into the queue with its first event; the run that the same record started before is returned as it is.
     * @throws AppError `queue_full` when `maxQueued` runs are waiting already, `too_many_runs` when `maxOpenPerKey` of this key
     * have not ended; `ticket_busy` and `ticket_not_found` while the ticket is being created or removed
     */
    enqueue: (run: NewRun): Promise<Enqueued> =>
      commit(
        (trx) => enqueue(trx, run),
        ({ row }) => notify({ type: 'run', runId: row.run_id, events: [] }),
      ),

    /**
     * Takes the first queued run, in the order of queue.ts, whose ticket has none under way, and writes that it is started;
     * its attempt number is the fence of all its writes.
     */
    async claim(): Promise<RunRow | undefined> {
      const claimed = await commit(claimNext, (next) => {
        if (next !== undefined) notify({ type: 'run', runId: next.row.run_id, events: next.events });
      });
      return claimed?.row;
    },

    /**
     * Appends events to a run and changes the run in the same transaction.
     * @param fence the attempt the writer works for
     * @throws FencedError when another attempt took over, or the run has ended
     */
    append(runId: string, fence: number, drafts: readonly EventDraft[], patch: RunPatch = {}): Promise<RunEvent[]> {
      const write: Write<RunEvent[]> = async (trx) => {
        const row = await trx
          .updateTable('runs')
          .set((eb) => ({ ...patch, ...tokensOf(patch.usage), last_seq: eb('last_seq', '+', drafts.length) }))
          .where('run_id', '=', runId)
          .where('attempt', '=', fence)
          .where('state', 'not in', TERMINAL_STATES)
          .returning('last_seq')
          .executeTakeFirst();
        if (row === undefined) throw new FencedError(`attempt ${fence} of run ${runId} may not write any more`);
        const time = new Date().toISOString();
        await recordPermissions(trx, { runId, attempt: fence, time }, drafts);
        return insertEvents(trx, runId, row.last_seq - drafts.length + 1, time, drafts);
      };
      return commit(write, (events) => notify({ type: 'run', runId, events }));
    },

    /**
     * Takes down that a run is to be canceled, whatever becomes of its attempt.
     * @returns whether the run has not ended
     */
    async recordCancelRequest(runId: string): Promise<boolean> {
      const noted = await commit((trx) =>
        trx
          .updateTable('runs')
          .set({ cancel_requested_at: new Date().toISOString() })
          .where('run_id', '=', runId)
          .where('state', 'not in', TERMINAL_STATES)
          .returning('run_id')
          .executeTakeFirst(),
      );
      return noted !== undefined;
    },

    /**
     * Runs that a server which ended left under way, or queued again though they were to be canceled: a request that was
     * slow to come may ask for that when a stop has aborted the run, and before the run is put back.
     */
    listInterrupted(): Promise<RunRow[]> {
      return db
        .selectFrom('runs')
        .selectAll()
        .where('state', 'in', ['queued', ...ACTIVE_STATES])
        .where((eb) => eb.or([eb('state', '!=', 'queued'), eb('cancel_requested_at', 'is not', null)]))
        .orderBy('run_id')
        .execute();
    },

    /** How many runs have not ended, by state and action. */
    countOpen(): Promise<{ state: RunState; action: Action; count: number }[]> {
      return db
        .selectFrom('runs')
        .select((eb) => ['state', 'action', eb.fn.countAll<number>().as('count')])
        .where('state', 'in', ['queued', ...ACTIVE_STATES])
        .groupBy(['state', 'action'])
        .execute();
    },

    /** Runs of a ticket that have not ended, oldest first. */
    listOpen(ticketId: string): Promise<RunRow[]> {
      return db
        .selectFrom('runs')
        .selectAll()
        .where('ticket_key', '=', ticketKey(ticketId))
        .where('state', 'not in', TERMINAL_STATES)
        .orderBy('run_id')
        .execute();
    },

    /**
     * Tokens, input and output together, of the runs that a key asked for on a day or later, also of those that are deleted.
     * @param day the present one in UTC, such as 2026-07-01
     */
    async tokensUsedBy(keyId: string, day: string): Promise<number> {
      const present = db
        .selectFrom('runs')
        .select((eb) => eb('input_tokens', '+', eb.ref('output_tokens')).as('tokens'))
        .where('key_id', '=', keyId)
        .where('created_at', '>=', day);
      const deleted = db
        .selectFrom('deleted_usage')
        .select('tokens')
        .where('key_id', '=', keyId)
        .where('day', '>=', day);
      // In one statement: a run that is deleted in between would count twice, or not at all.
      const { used } = await db
        .selectFrom(present.unionAll(deleted).as('run'))
        .select((eb) => eb.fn.sum<number | null>('tokens').as('used'))
        .executeTakeFirstOrThrow();
      return used ?? 0;
    },

    async listIds(ticketId: string): Promise<string[]> {
      const rows = await db.selectFrom('runs').select('run_id').where('ticket_key', '=', ticketKey(ticketId)).execute();
      return rows.map((row) => row.run_id);
    },

    /** The newest ended runs of a ticket, oldest first. */
    async recentFinished(ticketId: string, limit: number): Promise<RunRow[]> {
      const rows = await db
        .selectFrom('runs')
        .selectAll()
        .where('ticket_key', '=', ticketKey(ticketId))
        .where('state', 'in', TERMINAL_STATES)
        .orderBy('run_id', 'desc')
        .limit(limit)
        .execute();
      return rows.reverse();
    },

    /** The newest ended run of a ticket that made a commit, or took over one that was not published. */
    lastCommitted(ticketId: string): Promise<RunRow | undefined> {
      return db
        .selectFrom('runs')
        .selectAll()
        .where('ticket_key', '=', ticketKey(ticketId))
        .where('state', 'in', TERMINAL_STATES)
        .where(hasCommit('progress'))
        .orderBy('run_id', 'desc')
        .limit(1)
        .executeTakeFirst();
    },

    /** The agent's id of the ticket's conversation, as the newest run that had one left it. */
    async lastSessionId(ticketId: string, agent: string): Promise<string | undefined> {
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

    async newestByTicket(ticketKeys: readonly string[]): Promise<Map<string, RunRow>> {
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

    /** Places of the queued runs in the queue, by run; 1 is next. */
    queuePositions: () => queuePositions(db),

    /** How long the newest ended runs of an action took from their start, in seconds. */
    async recentDurations(action: Action, limit: number): Promise<number[]> {
      const rows = await db
        .selectFrom('runs')
        .select(['started_at', 'finished_at'])
        .where('action', '=', action)
        .where('state', 'in', TERMINAL_STATES)
        .where('started_at', 'is not', null)
        .orderBy('run_id', 'desc')
        .limit(limit)
        .execute();
      // A clock that was set back in between makes no wait negative.
      return rows.map((row) =>
        Math.max(0, (Date.parse(row.finished_at ?? '') - Date.parse(row.started_at ?? '')) / 1000),
      );
    },

    /** A page, newest first. */
    async list(query: {
      ticketId?: string;
      cursor?: string;
      limit: number;
      state?: RunState;
      repositories?: readonly string[];
    }) {
      let select = db.selectFrom('runs').selectAll();
      if (query.ticketId !== undefined) select = select.where('ticket_key', '=', ticketKey(query.ticketId));
      if (query.state !== undefined) select = select.where('state', '=', query.state);
      const { repositories } = query;
      if (repositories !== undefined) {
        // Run by run from the newest on: the tickets of a repository may be very many.
        select = select.where((eb) =>
          eb.exists(
            eb
              .selectFrom('tickets')
              .select('tickets.ticket_key')
              .whereRef('tickets.ticket_key', '=', 'runs.ticket_key')
              .where(inRepositories(repositories)),
          ),
        );
      }
      if (query.cursor !== undefined) select = select.where('run_id', '<', decodeCursor('runs', query.cursor)[0] ?? '');
      const rows = await select
        .orderBy('run_id', 'desc')
        .limit(query.limit + 1)
        .execute();
      const items = rows.slice(0, query.limit);
      const last = rows.length > query.limit ? items.at(-1) : undefined;
      return { items, nextCursor: last ? encodeCursor('runs', [last.run_id]) : null };
    },
  };
}

/** Whether the progress of a run names a commit. @param column where the progress is */
export function hasCommit(column: string) {
  return sql<boolean>`json_extract(${sql.ref(column)}, '$.commit') is not null`;
}

/** The columns that sums are made of. */
function tokensOf(usage: string | undefined): Partial<Usage> {
  if (usage === undefined) return {};
  const { input_tokens, output_tokens, cached_tokens }: Usage = JSON.parse(usage);
  return { input_tokens, output_tokens, cached_tokens };
}
