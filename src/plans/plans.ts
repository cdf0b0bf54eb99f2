import type { Plan } from '../../schemas/plan.ts';
import { AppError } from '../errors/app-error.ts';
import type { Store } from '../store/open-store.ts';
import type { PlanRow } from '../store/plans.ts';

export type Plans = ReturnType<typeof createPlans>;

/** Creates the plans of tickets, in numbered versions: an edit of a person and a plan of the agent each add the next version. */
export function createPlans(store: Pick<Store, 'plans' | 'tickets'>) {
  return {
    /**
     * Returns the newest plan of a ticket, or one version.
     * @throws AppError `ticket_not_found`, `plan_not_found`
     */
    async get(ticketId: string, version?: number): Promise<Plan> {
      const row = await store.plans.get(ticketId, version);
      if (row !== undefined) return toPlan(row);
      if ((await store.tickets.get(ticketId)) === undefined) {
        throw new AppError('ticket_not_found', `There is no ticket ${ticketId}.`);
      }
      throw new AppError(
        'plan_not_found',
        `Ticket ${ticketId} has no plan${version === undefined ? '' : ` ${version}`}.`,
      );
    },

    /**
     * Saves a person's edit as the next version.
     * @param expected the version that the person edited
     * @throws AppError `plan_version_mismatch` when it is not the newest
     */
    async edit(ticketId: string, body: string, expected: number): Promise<Plan> {
      const newest = await this.get(ticketId);
      const row = await store.plans.add(ticketId, { body, author: 'person', expected });
      if (row === undefined) {
        throw new AppError(
          'plan_version_mismatch',
          `The edit is based on plan ${expected}, but plan ${newest.version} is the newest.`,
        );
      }
      return toPlan(row);
    },

    /** Saves the agent's plan as the next version. Idempotent for each run. */
    async save(ticketId: string, body: string, runId: string): Promise<Plan> {
      const row = await store.plans.add(ticketId, { body, author: 'agent', runId });
      if (row === undefined) throw new AppError('internal', 'The plan was not saved.');
      return toPlan(row);
    },

    /** Returns the plan that a run saved. */
    async ofRun(ticketId: string, runId: string): Promise<Plan | undefined> {
      const row = await store.plans.ofRun(ticketId, runId);
      return row && toPlan(row);
    },

    /**
     * Approves the newest version; approving it again changes nothing.
     * @throws AppError `plan_stale` when `version` is not the newest
     */
    async approve(ticketId: string, version: number): Promise<Plan> {
      const newest = await this.get(ticketId);
      const row = await store.plans.approve(ticketId, version);
      if (row === undefined) {
        throw new AppError('plan_stale', `Plan ${version} is not the newest, plan ${newest.version} is.`);
      }
      return toPlan(row);
    },

    /**
     * Returns the plan that `dev` carries out, which is the newest.
     * @throws AppError `plan_not_approved` when approval is required and the newest plan is missing or not approved
     */
    async forDev(ticketId: string, requireApproval: boolean): Promise<Plan | undefined> {
      const newest = await store.plans.get(ticketId);
      if (newest === undefined) {
        if (requireApproval)
          throw new AppError('plan_not_approved', 'There is no plan yet, and REQUIRE_PLAN_APPROVAL is set.', {
            remedy: 'Run make_plan, then approve the plan.',
          });
        return undefined;
      }
      if (requireApproval && newest.approved_at === null) {
        throw new AppError(
          'plan_not_approved',
          `Plan ${newest.version} is not approved, and REQUIRE_PLAN_APPROVAL is set.`,
        );
      }
      return toPlan(newest);
    },
  };
}

function toPlan(row: PlanRow): Plan {
  return {
    version: row.version,
    body: row.body,
    author: row.author,
    created_at: row.created_at,
    ...(row.approved_at === null ? {} : { approved_at: row.approved_at }),
  };
}
