import { type Kysely, sql } from 'kysely';
import type { Action, RunState, Usage } from '../../schemas/run.ts';
import { inRepositories } from './repository-filter.ts';
import type { Database } from './schema.ts';

export type UsageStore = ReturnType<typeof createUsageStore>;

/** What the runs of one group, action and state have used. */
export type UsageSum = Usage & {
  /** Day, ticket or key; `null` for runs from before there were keys. */
  group: string | null;
  action: Action;
  state: RunState;
  runs: number;
  duration_ms: number;
};

/** Sums over the runs that are in the store: those of a ticket that was deleted are gone with it. */
export function createUsageStore(db: Kysely<Database>) {
  return {
    /**
     * @param query.from first day of creation that counts, as YYYY-MM-DD
     * @param query.to last one
     */
    sums(query: {
      by: 'day' | 'ticket' | 'key';
      from: string;
      to: string;
      repositories?: readonly string[];
    }): Promise<UsageSum[]> {
      const { repositories } = query;
      // A time of that day goes on with a T.
      let select = db.selectFrom('runs').where('created_at', '>=', query.from).where('created_at', '<', `${query.to}U`);
      if (repositories !== undefined) {
        select = select.where('ticket_key', 'in', (eb) =>
          eb.selectFrom('tickets').select('ticket_key').where(inRepositories(repositories)),
        );
      }
      const group = {
        day: sql<string | null>`substr(created_at, 1, 10)`,
        ticket: sql<string | null>`ticket_id`,
        key: sql<string | null>`key_id`,
      }[query.by];
      return select
        .select((eb) => [
          group.as('group'),
          'action',
          'state',
          eb.fn.countAll<number>().as('runs'),
          eb.fn.sum<number>('input_tokens').as('input_tokens'),
          eb.fn.sum<number>('output_tokens').as('output_tokens'),
          eb.fn.sum<number>('cached_tokens').as('cached_tokens'),
          eb.fn.sum<number>('duration_ms').as('duration_ms'),
        ])
        .groupBy([group, 'action', 'state'])
        .execute();
    },
  };
}
