import type { Kysely } from 'kysely';
import type { Action, RunState } from '../../schemas/run.ts';
import { decodeCursor, toPage } from './page-cursor.ts';
import { queuePositions } from './queue.ts';
import { inRepositories } from './repository-filter.ts';
import { OPEN_STATES } from './run-states.ts';
import type { Database, RunRow } from './schema.ts';
import { ticketKey } from './tickets.ts';

type RunListQuery = {
  ticketId?: string;
  cursor?: string;
  limit: number;
  state?: RunState;
  /** `HOST/OWNER/NAME` or `HOST/OWNER/*`, in lower case. */
  repositories?: readonly string[];
};

/** Reads of single runs, of lists, and of the runs that have not finished. */
export function createRunQueries(db: Kysely<Database>) {
  return {
    get(runId: string): Promise<RunRow | undefined> {
      return db.selectFrom('runs').selectAll().where('run_id', '=', runId).executeTakeFirst();
    },

    list: (query: RunListQuery) => listRuns(db, query),

    /** Reads the open runs of a ticket, oldest first. */
    listOpen(ticketId: string): Promise<RunRow[]> {
      return db
        .selectFrom('runs')
        .selectAll()
        .where('ticket_key', '=', ticketKey(ticketId))
        .where('state', 'in', OPEN_STATES)
        .orderBy('run_id')
        .execute();
    },

    /**
     * Reads the runs that need recovery after a start: active ones, and queued ones with a request to cancel. Such a request
     * can arrive between the moment a stop aborts the run and the moment the run returns to the queue.
     */
    listInterrupted(): Promise<RunRow[]> {
      return db
        .selectFrom('runs')
        .selectAll()
        .where('state', 'in', OPEN_STATES)
        .where((eb) => eb.or([eb('state', '!=', 'queued'), eb('cancel_requested_at', 'is not', null)]))
        .orderBy('run_id')
        .execute();
    },

    /** Counts the open runs by state and action. */
    countOpen(): Promise<{ state: RunState; action: Action; count: number }[]> {
      return db
        .selectFrom('runs')
        .select((eb) => ['state', 'action', eb.fn.countAll<number>().as('count')])
        .where('state', 'in', OPEN_STATES)
        .groupBy(['state', 'action'])
        .execute();
    },

    queuePositions: () => queuePositions(db),

    /**
     * Sums up the input and output tokens of the runs that a key started on a day or later, deleted runs included.
     * @param day in UTC, such as 2026-07-01
     */
    async tokensUsedBy(keyId: string, day: string): Promise<number> {
      const stored = db
        .selectFrom('runs')
        .select((eb) => eb('input_tokens', '+', eb.ref('output_tokens')).as('tokens'))
        .where('key_id', '=', keyId)
        .where('created_at', '>=', day);
      const deleted = db
        .selectFrom('deleted_usage')
        .select('tokens')
        .where('key_id', '=', keyId)
        .where('day', '>=', day);
      // One statement: between two, a deletion could make a run count twice or not at all.
      const { used } = await db
        .selectFrom(stored.unionAll(deleted).as('run'))
        .select((eb) => eb.fn.sum<number | null>('tokens').as('used'))
        .executeTakeFirstOrThrow();
      return used ?? 0;
    },
  };
}

/** Reads a page of runs, newest first. */
async function listRuns(db: Kysely<Database>, { ticketId, cursor, limit, state, repositories }: RunListQuery) {
  let select = db.selectFrom('runs').selectAll();
  if (ticketId !== undefined) select = select.where('ticket_key', '=', ticketKey(ticketId));
  if (state !== undefined) select = select.where('state', '=', state);
  if (repositories !== undefined) {
    // Tests each run, newest first: a repository can have very many tickets.
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
  if (cursor !== undefined) select = select.where('run_id', '<', decodeCursor('runs', cursor)[0] ?? '');
  const rows = await select
    .orderBy('run_id', 'desc')
    .limit(limit + 1)
    .execute();
  return toPage('runs', rows, limit, (row) => [row.run_id]);
}
