import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { RunParams, TicketParams } from '../../schemas/common.ts';
import { CreateRun, canceledRun, queuedRun, Run, RunList, RunQuery } from '../../schemas/run.ts';
import { ACTION_SCOPES, requireScope } from '../../src/keys/caller.ts';

export const runRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { runs, problemResponse } = app;
  const tags = ['runs'];

  app.post(
    '/v1/tickets/:ticket_id/runs',
    {
      config: { scope: ['chat', 'plan', 'dev'], needsDisk: true },
      schema: {
        operationId: 'createRun',
        summary: 'Start a run',
        description:
          'Queues a command to the agent. Runs of a ticket execute one at a time, in order. Needs the scope of the action: `chat`, `plan` or `dev`.',
        tags,
        params: TicketParams,
        body: CreateRun,
        response: { 202: { ...Run, examples: [queuedRun] }, default: problemResponse },
      },
    },
    async (request, reply) => {
      const { caller, params, body, idempotency } = request;
      requireScope(caller, [ACTION_SCOPES[body.action]]);
      const run = await runs.submit({
        ticketId: params.ticket_id,
        ...body,
        keyId: caller.id,
        idempotencyId: idempotency?.id,
      });
      request.audit({ run_id: run.run_id });
      return reply.code(202).header('location', `/v1/runs/${run.run_id}`).send(run);
    },
  );

  app.get(
    '/v1/tickets/:ticket_id/runs',
    {
      config: { scope: ['read'] },
      schema: {
        operationId: 'listTicketRuns',
        summary: 'List the runs of a ticket, newest first',
        tags,
        params: TicketParams,
        querystring: RunQuery,
        response: { 200: RunList, default: problemResponse },
      },
    },
    async (request) => {
      const { ticket_id } = await app.tickets.row(request.params.ticket_id);
      return runs.list({ ...request.query, ticketId: ticket_id });
    },
  );

  app.get(
    '/v1/runs',
    {
      config: { scope: ['read'] },
      schema: {
        operationId: 'listRuns',
        summary: 'List runs, newest first',
        tags,
        querystring: RunQuery,
        response: { 200: RunList, default: problemResponse },
      },
    },
    async (request) => runs.list({ ...request.query, repositories: request.caller.repositories }),
  );

  app.get(
    '/v1/runs/:run_id',
    {
      config: { scope: ['read'] },
      schema: {
        operationId: 'getRun',
        summary: 'Read a run',
        tags,
        params: RunParams,
        response: { 200: Run, default: problemResponse },
      },
    },
    async (request) => runs.get(request.params.run_id),
  );

  app.post(
    '/v1/runs/:run_id/cancel',
    {
      config: { scope: ['chat', 'plan', 'dev'] },
      schema: {
        operationId: 'cancelRun',
        summary: 'Cancel a run',
        description:
          'Commits stay on the branch, and uncommitted changes stay in the workspace. Needs the scope of the action of the run.',
        tags,
        params: RunParams,
        response: { 202: { ...Run, examples: [canceledRun] }, default: problemResponse },
      },
    },
    async (request, reply) => {
      const { run_id, ticket_id, action } = await runs.row(request.params.run_id);
      requireScope(request.caller, [ACTION_SCOPES[action]]);
      request.audit({ ticket_id });
      return reply.code(202).send(await runs.cancel(run_id));
    },
  );
};
