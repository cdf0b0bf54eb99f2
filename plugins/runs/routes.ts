import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { RunParams, TicketParams } from '../../schemas/common.ts';
import { CreateRun, Run, RunList, RunQuery } from '../../schemas/run.ts';

export const runRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { runs, problemResponse } = app;
  const tags = ['runs'];

  app.post(
    '/v1/tickets/:ticket_id/runs',
    {
      schema: {
        operationId: 'createRun',
        summary: 'Start a run',
        description:
          'Puts a command to the agent into the queue. One run at a time per ticket, first come first served.',
        tags,
        params: TicketParams,
        body: CreateRun,
        response: { 202: Run, default: problemResponse },
      },
    },
    async (request, reply) => {
      const run = await runs.submit({ ticketId: request.params.ticket_id, ...request.body });
      return reply.code(202).header('location', `/v1/runs/${run.run_id}`).send(run);
    },
  );

  app.get(
    '/v1/tickets/:ticket_id/runs',
    {
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
      schema: {
        operationId: 'listRuns',
        summary: 'List runs, newest first',
        tags,
        querystring: RunQuery,
        response: { 200: RunList, default: problemResponse },
      },
    },
    async (request) => runs.list(request.query),
  );

  app.get(
    '/v1/runs/:run_id',
    {
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
      schema: {
        operationId: 'cancelRun',
        summary: 'Cancel a run',
        description: 'What was committed stays; what was not stays in the workspace.',
        tags,
        params: RunParams,
        response: { 202: Run, default: problemResponse },
      },
    },
    async (request, reply) => reply.code(202).send(await runs.cancel(request.params.run_id)),
  );
};
