import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { exampleEvents } from '../../../schemas/event.ts';
import { Command } from '../../../schemas/run.ts';
import { CreateTicket, TicketCreated } from '../../../schemas/ticket.ts';
import { ACTION_SCOPES, requireScope } from '../../../src/keys/caller.ts';
import { createLineView } from './line-format.ts';

const { opening, frame } = createLineView(false, 0);
const exampleStream = opening + exampleEvents.map(frame).join('');

/** Serves the simple API, `/create_ticket` and `/command`, as views of the same tickets, runs and events. */
export const simpleApiRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { problemResponse } = app;
  const tags = ['simple API'];

  app.post(
    '/create_ticket',
    {
      config: { scope: ['chat', 'plan', 'dev'], needsDisk: true },
      schema: {
        operationId: 'createTicketSimple',
        summary: 'Create a ticket',
        description: 'Does the same as `POST /v1/tickets`, with a shorter answer.',
        tags,
        body: CreateTicket,
        response: { 200: TicketCreated, default: problemResponse },
      },
    },
    async (request) => {
      const { ticket, created, fresh, notes } = await app.tickets.create(request.body, app.closing);
      const message = created
        ? 'New ticket created, repo cloned, and branch initialized.'
        : `Existing ticket loaded${fresh ? ', and the base branch pulled' : ''}.`;
      return {
        status: 'ok' as const,
        ticket_id: ticket.ticket_id,
        message: [message, ...notes].join(' '),
        branch: ticket.branch,
        created,
      };
    },
  );

  app.post(
    '/command',
    {
      config: { scope: ['chat', 'plan', 'dev'], needsDisk: true },
      schema: {
        operationId: 'sendCommand',
        summary: 'Send a command and stream the run',
        description:
          'Starts a run and streams it: one `data:` frame per line of agent text, then `data: __END__`. A disconnect does not stop the run; `X-Run-Id` names it. A request that is repeated with the same `Idempotency-Key` streams the run of the first request, from the start or after `Last-Event-ID`. Needs the scope of the action: `chat`, `plan` or `dev`.',
        tags,
        body: Command,
        response: {
          200: {
            description: 'The stream.',
            content: { 'text/event-stream': { schema: app.eventStream, example: exampleStream } },
          },
          default: problemResponse,
        },
      },
    },
    async (request, reply) => {
      const { caller, body, idempotency } = request;
      requireScope(caller, [ACTION_SCOPES[body.action]]);
      reply.reserveStream();
      const { run_id, ticket_id } = await app.runs.submit({
        ticketId: body.ticket_id,
        action: body.action,
        message: body.message,
        keyId: caller.id,
        idempotencyId: idempotency?.id,
      });
      request.audit({ run_id });
      reply.header('x-run-id', run_id).header('link', `</v1/runs/${run_id}>; rel="monitor"`);
      const replayed = idempotency?.runId === run_id;
      const run = await app.runs.row(run_id);
      const after = replayed ? await request.resumesAfter(run) : 0;
      const ahead = (await app.store.runs.listOpen(ticket_id)).filter((other) => other.run_id < run_id);
      return reply.streamEvents(run, after, createLineView(ahead.length > 0, after));
    },
  );
};
