import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from '@sinclair/typebox';
import { RunParams } from '../../schemas/common.ts';
import { EventPage, EventQuery, exampleEvents } from '../../schemas/event.ts';
import { eventView } from './event-view.ts';

const exampleStream = eventView.opening + exampleEvents.map(eventView.frame).join('');

/** The events of a run, as a stream or as pages. */
export const eventRoutes: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/v1/runs/:run_id/events',
    {
      config: { scope: ['read'] },
      schema: {
        operationId: 'getRunEvents',
        summary: 'Read the events of a run',
        description:
          'A stream of server-sent events that ends after the terminal one; `Last-Event-ID`, or without it `after`, resumes it: 400 `cursor_unknown` for an event that the run does not have, 410 `events_expired` when what follows is not kept any more. `Accept: application/json` gives pages instead.',
        tags: ['runs'],
        params: RunParams,
        querystring: EventQuery,
        response: {
          200: {
            description: 'The events.',
            content: {
              'text/event-stream': { schema: app.eventStream, example: exampleStream },
              'application/json': { schema: EventPage },
            },
          },
          204: Type.Null({ description: 'The run has ended and no event is left; a reader need not come back.' }),
          default: app.problemResponse,
        },
      },
    },
    async (request, reply) => {
      const run = await app.runs.row(request.params.run_id);
      const after = await request.resumesAfter(run, request.query.after);
      reply.varyBy('accept');
      const type = request.accepts().type(['text/event-stream', 'application/json']);
      if (type !== 'application/json') return reply.streamEvents(run, after, eventView);
      const items = await app.eventLog.read(run.run_id, after, request.query.limit);
      return reply.type('application/json').send({ items, next_after: items.at(-1)?.seq ?? after });
    },
  );
};
