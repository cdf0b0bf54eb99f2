import type { Kysely, Selectable, Transaction } from 'kysely';
import type { ChangeNotifier } from './change-notifier.ts';
import type { Database, PlanTable } from './schema.ts';
import { ticketKey } from './tickets.ts';

export type PlanRow = Selectable<PlanTable>;
export type PlanStore = ReturnType<typeof createPlanStore>;

type NewPlan = { body: string; author: PlanRow['author']; expected?: number; runId?: string };

export function createPlanStore(db: Kysely<Database>, changes: ChangeNotifier) {
  return {
    /** Reads a version; the newest by default. */
    get(ticketId: string, version?: number): Promise<PlanRow | undefined> {
      let select = db.selectFrom('plans').selectAll().where('ticket_key', '=', ticketKey(ticketId));
      if (version !== undefined) select = select.where('version', '=', version);
      return select.orderBy('version', 'desc').executeTakeFirst();
    },

    /** Reads the version that a run added. */
    ofRun: (ticketId: string, runId: string): Promise<PlanRow | undefined> => ofRun(db, ticketKey(ticketId), runId),

    /** Returns the newest version of each ticket that has a plan, by ticket key. */
    async newestVersions(ticketKeys: readonly string[]): Promise<Map<string, number>> {
      if (ticketKeys.length === 0) return new Map();
      const rows = await db
        .selectFrom('plans')
        .select((eb) => ['ticket_key', eb.fn.max('version').as('version')])
        .where('ticket_key', 'in', ticketKeys)
        .groupBy('ticket_key')
        .execute();
      return new Map(rows.map((row) => [row.ticket_key, row.version]));
    },

    /**
     * Adds the next version.
     * @param plan.expected version that must be the newest
     * @param plan.runId run that wrote the plan; a version that it has already added is returned unchanged
     * @returns `undefined` when `expected` is no longer the newest
     */
    async add(ticketId: string, plan: NewPlan): Promise<PlanRow | undefined> {
      const key = ticketKey(ticketId);
      const added = await db.transaction().execute((trx) => addPlan(trx, key, plan));
      if (added !== undefined) changes.notify({ type: 'ticket', ticketKey: key });
      return added;
    },

    /** Approves a version if it is still the newest. A second approval keeps the time of the first. */
    approve(ticketId: string, version: number): Promise<PlanRow | undefined> {
      const key = ticketKey(ticketId);
      return db
        .updateTable('plans')
        .set((eb) => ({ approved_at: eb.fn.coalesce('approved_at', eb.val(new Date().toISOString())) }))
        .where('ticket_key', '=', key)
        .where('version', '=', version)
        .where('version', '=', (eb) =>
          eb
            .selectFrom('plans as newest')
            .select((e) => e.fn.max('newest.version').as('version'))
            .where('newest.ticket_key', '=', key),
        )
        .returningAll()
        .executeTakeFirst();
    },
  };
}

async function addPlan(trx: Transaction<Database>, key: string, plan: NewPlan): Promise<PlanRow | undefined> {
  const existing = plan.runId === undefined ? undefined : await ofRun(trx, key, plan.runId);
  if (existing !== undefined) return existing;
  const newest = await trx
    .selectFrom('plans')
    .select('version')
    .where('ticket_key', '=', key)
    .orderBy('version', 'desc')
    .executeTakeFirst();
  const version = newest?.version ?? 0;
  if (plan.expected !== undefined && plan.expected !== version) return undefined;
  return trx
    .insertInto('plans')
    .values({
      ticket_key: key,
      version: version + 1,
      body: plan.body,
      author: plan.author,
      run_id: plan.runId ?? null,
      approved_at: null,
      created_at: new Date().toISOString(),
    })
    .returningAll()
    .executeTakeFirstOrThrow();
}

function ofRun(db: Kysely<Database>, key: string, runId: string): Promise<PlanRow | undefined> {
  return db
    .selectFrom('plans')
    .selectAll()
    .where('ticket_key', '=', key)
    .where('run_id', '=', runId)
    .executeTakeFirst();
}
