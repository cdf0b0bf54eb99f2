import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { RunParams } from '../../schemas/common.ts';
import { EventPage, EventQuery } from '../../schemas/event.ts';
import { AppError } from '../../src/errors/app-error.ts';
import { eventView } from './event-view.ts';

/** The events of a run, as a stream or as pages. */
export default fp(
  async (app) => {
    await app.register(eventRoutes);
  },
  { name: 'events', dependencies: ['runs', 'sse'] },
);

const eventRoutes: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/v1/runs/:run_id/events',
    {
      config: { scope: ['read'] },
      schema: {
        operationId: 'getRunEvents',
        summary: 'Read the events of a run',
        description:
          'A stream of server-sent events that ends after the terminal one; `Last-Event-ID`, or without it `after`, resumes it. `Accept: application/json` gives pages instead.',
        tags: ['runs'],
        params: RunParams,
        querystring: EventQuery,
        response: {
          200: {
            description: 'The events.',
            content: { 'text/event-stream': { schema: Type.String() }, 'application/json': { schema: EventPage } },
          },
          204: Type.Null({ description: 'The run has ended and no event is left; a reader need not come back.' }),
          default: app.problemResponse,
        },
      },
    },
    async (request, reply) => {
      const run = await app.runs.row(request.params.run_id);
      const after = lastEventId(request) ?? request.query.after ?? 0;
      if (after > run.last_seq) {
        throw new AppError('invalid_request', `Run ${run.run_id} has ${run.last_seq} events; there is none ${after}.`, {
          errors: [{ path: '/after', message: `must be at most ${run.last_seq}` }],
        });
      }
      reply.varyBy('accept');
      if (wantsJson(request)) {
        const items = await app.eventLog.read(run.run_id, after, request.query.limit);
        return reply.type('application/json').send({ items, next_after: items.at(-1)?.seq ?? after });
      }
      if (run.finished_at !== null && after === run.last_seq) return reply.code(204).send(null);
      // Nobody would read its stream.
      if (request.method === 'HEAD') return reply.type('text/event-stream; charset=utf-8').send('');
      return reply.streamEvents(run.run_id, after, eventView);
    },
  );
};

function lastEventId(request: FastifyRequest): number | undefined {
  const header = request.headers['last-event-id'];
  if (header === undefined || header === '') return undefined;
  if (typeof header === 'string' && /^\d{1,15}$/.test(header)) return Number(header);
  throw new AppError('invalid_request', 'Last-Event-ID is not an id of this stream.', {
    errors: [{ path: '/last-event-id', message: 'must be the id of an event of this run' }],
  });
}

function wantsJson(request: FastifyRequest): boolean {
  const accept = request.headers.accept ?? '';
  return accept.includes('application/json') && !accept.includes('text/event-stream');
}
