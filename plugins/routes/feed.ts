import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { queuedRun } from '../../schemas/run.ts';
import { newTicket } from '../../schemas/ticket.ts';
import { createChangeFeed } from '../../src/feed/change-feed.ts';
import type { Store } from '../../src/store/open-store.ts';

const counts: Awaited<ReturnType<Store['feed']['counts']>> = { tickets: 0, runs: {} };

const exampleStream = `retry: 1000

id: 5c1f0a9b2d3e-0
event: snapshot
data: ${JSON.stringify({ runs: [], queue: { queued: 0, running: 0 }, counts })}

id: 5c1f0a9b2d3e-1
event: ticket.created
data: ${JSON.stringify(newTicket)}

id: 5c1f0a9b2d3e-2
event: run.state
data: ${JSON.stringify(queuedRun)}

`;

/** Streams changes of tickets and runs. */
export const feedRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { store, tickets, runs, redactor } = app;
  const feed = createChangeFeed({ store, tickets, runs, redactor, logger: app.log });
  app.addHook('onClose', () => feed.close());

  app.get(
    '/v1/events',
    {
      config: { scope: ['read'] },
      schema: {
        operationId: 'getChanges',
        summary: 'Stream changes of tickets and runs',
        description:
          'Streams server-sent events without end. The first event is `snapshot`: `{runs, queue: {queued, running}, counts: {tickets, runs}}`, with the unfinished runs. Then follow `ticket.created` and `ticket.updated` (the ticket), `ticket.deleted` (its id), `run.state` (the run), `permission.requested` and `permission.resolved` (the event of the run). An event holds the new state; changes within a short time are merged. `Last-Event-ID` resumes the stream. When that is not possible, a new `snapshot` replaces all earlier state.',
        tags: ['runs'],
        response: {
          200: {
            description: 'The changes.',
            content: { 'text/event-stream': { schema: app.eventStream, example: exampleStream } },
          },
          default: app.problemResponse,
        },
      },
    },
    async (request, reply) => {
      const header = request.headers['last-event-id'];
      return reply.stream(feed.source(request.caller, typeof header === 'string' ? header : undefined));
    },
  );
};
