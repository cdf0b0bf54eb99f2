import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Live, notReady, Ready, Status } from '../../schemas/health.ts';
export type HealthOptions = { name: string; version: string };

/** `GET /`, `/livez` (the process answers) and `/readyz` (what it needs answers too), and `app.readiness()`. */
export const healthRoutes: FastifyPluginAsyncTypebox<HealthOptions> = async (app, { name, version }) => {
  const config = { public: true, whileStopping: true } as const;
  const tags = ['health'];

  app.get(
    '/',
    {
      config: { public: true },
      schema: { operationId: 'hello', summary: 'Say hello', tags, response: { 200: Status } },
    },
    async (request, reply) => {
      reply.varyBy('accept');
      if (request.accepts().type(['json', 'html']) === 'html') return reply.redirect('/dashboard/');
      return { status: 'ok' as const, name, version };
    },
  );

  app.get(
    '/livez',
    { config, schema: { operationId: 'livez', summary: 'Whether the process answers', tags, response: { 200: Live } } },
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
        summary: 'Whether runs can be carried out',
        description: 'Each thing that runs need, and in one sentence why one is not as it should be.',
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
