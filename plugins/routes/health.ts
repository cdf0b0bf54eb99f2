import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Live, notReady, Ready, Status } from '../../schemas/health.ts';
export type HealthOptions = { name: string; version: string };

/** Serves `GET /`, `/livez` (the process answers) and `/readyz` (the server can execute runs). */
export const healthRoutes: FastifyPluginAsyncTypebox<HealthOptions> = async (app, { name, version }) => {
  const config = { public: true, whileStopping: true } as const;
  const tags = ['health'];

  app.get(
    '/',
    {
      config: { public: true },
      schema: { operationId: 'hello', summary: 'Read name and version', tags, response: { 200: Status } },
    },
    async (request, reply) => {
      reply.varyBy('accept');
      if (request.accepts().type(['json', 'html']) === 'html') return reply.redirect('/dashboard/');
      return { status: 'ok' as const, name, version };
    },
  );

  app.get(
    '/livez',
    {
      config,
      schema: { operationId: 'livez', summary: 'Check that the process answers', tags, response: { 200: Live } },
    },
    async () => ({
      status: 'ok' as const,
    }),
  );

  app.get(
    '/readyz',
    {
      config,
      schema: {
        operationId: 'readyz',
        summary: 'Check that the server can execute runs',
        description: 'Checks all that runs need, and describes each failed check in one sentence.',
        tags,
        response: { 200: Ready, 503: { ...Ready, examples: [notReady] } },
      },
    },
    async (_request, reply) => {
      const readiness = await app.readiness();
      return reply.code(readiness.status === 'ok' ? 200 : 503).send(readiness);
    },
  );
};
