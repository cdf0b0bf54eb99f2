import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from '@sinclair/typebox';

const EXAMPLE = `# HELP pullwright_runs Runs that have not ended; those in the state queued are the queue.
# TYPE pullwright_runs gauge
pullwright_runs{state="running",action="dev"} 1
`;

/** Serves `GET /metrics` for Prometheus. */
export const metricsRoutes: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/metrics',
    {
      config: { scope: ['metrics'], whileStopping: true },
      schema: {
        operationId: 'getMetrics',
        summary: 'Read the metrics',
        description: 'Metrics of all repositories together, in the text format of Prometheus.',
        tags: ['health'],
        response: {
          200: {
            description: 'The metrics.',
            content: { 'text/plain': { schema: Type.String(), example: EXAMPLE } },
          },
          default: app.problemResponse,
        },
      },
    },
    async (_request, reply) => reply.type(app.metrics.contentType).send(await app.metrics.text()),
  );
};
