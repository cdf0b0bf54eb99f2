import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from '@sinclair/typebox';
import fp from 'fastify-plugin';
import { Command } from '../../schemas/run.ts';
import { CreateTicket, TicketCreated } from '../../schemas/ticket.ts';
import { ACTION_SCOPES, requireScope } from '../../src/keys/caller.ts';
import { createLineView } from './line-view.ts';

/** The routes of the original service: thin views over the same tickets, runs and events. */
export default fp(
  async (app) => {
    await app.register(seedRoutes);
  },
  { name: 'command', dependencies: ['tickets', 'runs', 'sse'] },
);

const seedRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { problemResponse } = app;
  const tags = ['seed'];

  app.post(
    '/create_ticket',
    {
      config: { scope: ['chat', 'plan', 'dev'], grows: true },
      schema: {
        operationId: 'createTicketSeed',
        summary: 'Create a ticket',
        description: 'As POST /v1/tickets, with the answer of the original service.',
        tags,
        body: CreateTicket,
        response: { 200: TicketCreated, default: problemResponse },
      },
    },
    async (request) => {
      const { ticket, created, fresh, notes } = await app.tickets.create(request.body, app.closing);
      const told = created
        ? 'New ticket created, repo cloned, and branch initialized.'
        : `Existing ticket loaded${fresh ? ', and the base branch pulled' : ''}.`;
      return {
        status: 'ok' as const,
        ticket_id: ticket.ticket_id,
        message: [told, ...notes].join(' '),
        branch: ticket.branch,
        created,
      };
    },
  );

  app.post(
    '/command',
    {
      config: { scope: ['chat', 'plan', 'dev'], grows: true },
      schema: {
        operationId: 'sendCommand',
        summary: 'Send a command and stream its answer',
        description:
          'Starts a run and streams it: one `data:` frame per line of agent text, and `data: __END__` last. Leaving the stream does not stop the run; `X-Run-Id` names it. Needs the scope of the action: `chat`, `plan` or `dev`.',
        tags,
        body: Command,
        response: {
          200: { description: 'The stream.', content: { 'text/event-stream': { schema: Type.String() } } },
          default: problemResponse,
        },
      },
    },
    async (request, reply) => {
      const { ticket_id, action, message } = request.body;
      requireScope(request.caller, [ACTION_SCOPES[action]]);
      reply.holdStream();
      const run = await app.runs.submit({ ticketId: ticket_id, action, message, keyId: request.caller.id });
      request.made({ run_id: run.run_id });
      const ahead = (await app.store.runs.unfinished(run.ticket_id)).filter((other) => other.run_id < run.run_id);
      reply.header('x-run-id', run.run_id).header('link', `</v1/runs/${run.run_id}>; rel="monitor"`);
      return reply.streamEvents(run.run_id, 0, createLineView(ahead.length > 0));
    },
  );
};
