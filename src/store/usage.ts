import { type Kysely, sql } from 'kysely';
import type { Action, RunState, Usage } from '../../schemas/run.ts';
import { ticketKeysIn } from './repository-filter.ts';
import type { Database } from './schema.ts';

export type UsageStore = ReturnType<typeof createUsageStore>;

/** The usage of the runs of one group, action and state. */
export type UsageSum = Usage & {
  /** Day, ticket or key; `null` for runs older than API keys. */
  group: string | null;
  action: Action;
  state: RunState;
  runs: number;
  duration_ms: number;
};

/** Sums up the usage of the stored runs. Deleted runs, such as all runs of a deleted ticket, do not count. */
export function createUsageStore(db: Kysely<Database>) {
  return {
    /**
     * @param query.from first day of creation, as YYYY-MM-DD
     * @param query.to last day
     */
    sums(query: {
      by: 'day' | 'ticket' | 'key';
      from: string;
      to: string;
      repositories?: readonly string[];
    }): Promise<UsageSum[]> {
      const { repositories } = query;
      // Times of the last day continue with a T, which sorts before U.
      let select = db.selectFrom('runs').where('created_at', '>=', query.from).where('created_at', '<', `${query.to}U`);
      if (repositories !== undefined) {
        select = select.where('ticket_key', 'in', ticketKeysIn(db, repositories));
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
