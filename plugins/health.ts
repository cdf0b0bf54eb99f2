import { access, constants } from 'node:fs/promises';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import fp from 'fastify-plugin';
import { Live, Ready, Status } from '../schemas/health.ts';

export type HealthOptions = { name: string; version: string };

/** `GET /`, `/livez` (the process answers) and `/readyz` (what it needs answers too). */
export default fp<HealthOptions>(
  async (app, options) => {
    await app.register(healthRoutes, options);
  },
  { name: 'health', dependencies: ['store', 'agents'] },
);

const healthRoutes: FastifyPluginAsyncTypebox<HealthOptions> = async (app, { name, version }) => {
  const config = { public: true } as const;
  const tags = ['health'];

  app.get(
    '/',
    { config, schema: { operationId: 'hello', summary: 'Say hello', tags: ['seed'], response: { 200: Status } } },
    async (request, reply) => {
      reply.varyBy('accept');
      if (request.headers.accept?.includes('text/html')) return reply.redirect('/docs');
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
        tags,
        response: { 200: Ready, 503: Ready },
      },
    },
    async (_request, reply) => {
      const checks = await Promise.all([
        check('store', () => app.store.ping()),
        check('data folder', () => access(app.config.DATA_DIR, constants.W_OK)),
        check('tickets folder', () => access(app.config.TICKETS_ROOT, constants.W_OK)),
        check('sandbox', async () => {
          const result = await app.sandbox.check();
          if (!result.ok) throw new Error(`${result.detail} ${result.remedy}`);
        }),
      ]);
      const ok = checks.every((result) => result.ok);
      return reply.code(ok ? 200 : 503).send({ status: ok ? 'ok' : 'unavailable', checks });
    },
  );
};

async function check(name: string, probe: () => Promise<void>) {
  try {
    await probe();
    return { name, ok: true };
  } catch (error) {
    return { name, ok: false, detail: error instanceof Error ? error.message : String(error) };
  }
}
