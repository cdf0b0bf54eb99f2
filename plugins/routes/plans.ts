import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { TicketParams } from '../../schemas/common.ts';
import { ApprovePlan, Plan, PlanQuery, PutPlan, PutPlanHeaders } from '../../schemas/plan.ts';
import { AppError } from '../../src/errors/app-error.ts';

export const planRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { plans, problemResponse } = app;
  const tags = ['plans'];

  app.get(
    '/v1/tickets/:ticket_id/plan',
    {
      config: { scope: ['read'] },
      schema: {
        operationId: 'getPlan',
        summary: 'Read the plan',
        description: 'Returns the newest version, or the requested one. `ETag` is the version.',
        tags,
        params: TicketParams,
        querystring: PlanQuery,
        response: { 200: Plan, default: problemResponse },
      },
    },
    async (request, reply) => {
      const plan = await plans.get(request.params.ticket_id, request.query.version);
      reply.header('etag', etag(plan.version));
      return plan;
    },
  );

  app.put(
    '/v1/tickets/:ticket_id/plan',
    {
      config: { scope: ['plan'], needsDisk: true },
      schema: {
        operationId: 'putPlan',
        summary: 'Edit the plan',
        description:
          'Saves an edit as the next version. `If-Match` names the edited version; when a newer version exists, the answer is 412 and nothing is saved.',
        tags,
        params: TicketParams,
        headers: PutPlanHeaders,
        body: PutPlan,
        response: { 200: Plan, default: problemResponse },
      },
    },
    async (request, reply) => {
      const edited = editedVersion(request.headers['if-match']);
      const plan = await plans.edit(request.params.ticket_id, request.body.body, edited);
      reply.header('etag', etag(plan.version));
      return plan;
    },
  );

  app.post(
    '/v1/tickets/:ticket_id/plan/approve',
    {
      config: { scope: ['plan'] },
      schema: {
        operationId: 'approvePlan',
        summary: 'Approve the plan',
        tags,
        params: TicketParams,
        body: ApprovePlan,
        response: { 200: Plan, default: problemResponse },
      },
    },
    async (request) => {
      const { ticket_id } = request.params;
      const plan = await plans.approve(ticket_id, request.body.version);
      void prepareDev(ticket_id).catch((err) => request.log.warn({ err, ticket_id }, 'failed to prestart a writer'));
      return plan;
    },
  );

  /** Prestarts an agent, since a `dev` run is likely to follow the approval. */
  async function prepareDev(given: string): Promise<void> {
    const { ticket_id, state } = await app.tickets.row(given);
    if (state !== 'ready') return;
    const { workspace, gitDir, mirror } = await app.workspaces.paths(ticket_id);
    const git = { dir: gitDir, mirror };
    await app.agents.prestartWriter({ ticketId: ticket_id, agent: app.config.AGENT, workspace, git });
  }
};

function etag(version: number): string {
  return `"${version}"`;
}

/** `If-Match`: entity tags or `*` (RFC 9110 §8.8.3, §13.1.1). */
const ENTITY_TAGS = /^(?:\*|(?:W\/)?"[^"\s]*"(?:\s*,\s*(?:W\/)?"[^"\s]*")*)$/;

/** Returns the version in `If-Match`; the strong validator of a plan is its version. */
function editedVersion(header: string | undefined): number {
  if (header === undefined) {
    throw new AppError(
      'precondition_required',
      'An edit of a plan needs If-Match with the ETag of the edited version.',
    );
  }
  if (!ENTITY_TAGS.test(header)) {
    throw new AppError('invalid_request', 'If-Match is not valid.', {
      errors: [{ path: '/if-match', message: 'must be an ETag with its quotes, as received' }],
    });
  }
  const version = /^"([1-9]\d{0,8})"$/.exec(header)?.[1];
  if (version === undefined) {
    throw new AppError(
      'plan_version_mismatch',
      'If-Match does not name a version of the plan; send the ETag as received.',
    );
  }
  return Number(version);
}
