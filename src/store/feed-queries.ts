import type { Kysely } from 'kysely';
import { inRepositories, ticketKeysIn } from './repository-filter.ts';
import { OPEN_STATES } from './run-states.ts';
import type { Database, RunRow } from './schema.ts';
import type { TicketRow } from './tickets.ts';

/** Creates the queries of the change feed. */
export function createFeedQueries(db: Kysely<Database>) {
  return {
    tickets(ticketKeys: readonly string[]): Promise<TicketRow[]> {
      if (ticketKeys.length === 0) return Promise.resolve([]);
      return db.selectFrom('tickets').selectAll().where('ticket_key', 'in', ticketKeys).execute();
    },

    /** Reads runs, each with the repository of its ticket. */
    runs(runIds: readonly string[]): Promise<(RunRow & { repo_url: string })[]> {
      if (runIds.length === 0) return Promise.resolve([]);
      return db
        .selectFrom('runs')
        .innerJoin('tickets', 'tickets.ticket_key', 'runs.ticket_key')
        .selectAll('runs')
        .select('tickets.repo_url')
        .where('run_id', 'in', runIds)
        .execute();
    },

    /** Reads the runs that have not finished, oldest first. */
    openRuns(repositories: readonly string[] | undefined): Promise<RunRow[]> {
      let select = db
        .selectFrom('runs')
        .innerJoin('tickets', 'tickets.ticket_key', 'runs.ticket_key')
        .selectAll('runs')
        .where('runs.state', 'in', OPEN_STATES);
      if (repositories !== undefined) select = select.where(inRepositories(repositories));
      return select.orderBy('run_id').execute();
    },

    /** Counts the tickets, and the runs in each state. */
    async counts(
      repositories: readonly string[] | undefined,
    ): Promise<{ tickets: number; runs: Record<string, number> }> {
      let tickets = db.selectFrom('tickets').select((eb) => eb.fn.countAll<number>().as('number'));
      let runs = db.selectFrom('runs').select((eb) => ['runs.state', eb.fn.countAll<number>().as('number')]);
      if (repositories !== undefined) {
        tickets = tickets.where(inRepositories(repositories));
        runs = runs.where('ticket_key', 'in', ticketKeysIn(db, repositories));
      }
      const { number } = await tickets.executeTakeFirstOrThrow();
      const states = await runs.groupBy('runs.state').execute();
      return { tickets: number, runs: Object.fromEntries(states.map((row) => [row.state, row.number])) };
    },
  };
}
