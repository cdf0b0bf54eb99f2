import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from '@sinclair/typebox';
import { RunParams } from '../../schemas/common.ts';
import { EventPage, EventQuery, exampleEvents } from '../../schemas/event.ts';
import { eventView } from './event-view.ts';

const exampleStream = eventView.opening + exampleEvents.map(eventView.frame).join('');

/** Serves the events of a run, as a stream or as pages. */
export const eventRoutes: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/v1/runs/:run_id/events',
    {
      config: { scope: ['read'] },
      schema: {
        operationId: 'getRunEvents',
        summary: 'Read the events of a run',
        description:
          'Streams server-sent events up to the terminal event. `Last-Event-ID`, or else `after`, resumes the stream: 400 `cursor_unknown` when the run has no such event, 410 `events_expired` when the next event is deleted. `Accept: application/json` returns pages instead.',
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
          204: Type.Null({ description: 'The run has finished and the client has all its events.' }),
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
