import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { CleanUp } from '../../schemas/housekeeping.ts';

export const housekeepingRoutes: FastifyPluginAsyncTypebox = async (app) => {
  app.post(
    '/v1/housekeeping',
    {
      config: { scope: ['admin'] },
      schema: {
        operationId: 'cleanUp',
        summary: 'Clean up now',
        description:
          'What the server does every hour by itself: deletes what the RETAIN settings say is old, parks workspaces that nobody works with and whose work is all pushed, packs mirrors. Answers with what was done, and which workspaces were kept and why.',
        tags: ['housekeeping'],
        response: { 200: CleanUp, default: app.problemResponse },
      },
    },
    async () => app.housekeeper.run(),
  );
};
