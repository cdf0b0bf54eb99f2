import type { Readable } from 'node:stream';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from '@sinclair/typebox';
import { CleanUp } from '../../schemas/housekeeping.ts';
import { disconnectSignal } from '../core/disconnect-signal.ts';

const Archive = Type.Unsafe<Readable>({ type: 'string', format: 'binary' });

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

  app.post(
    '/v1/backup',
    {
      config: { scope: ['admin'], needsDisk: true },
      schema: {
        operationId: 'backUp',
        summary: 'Take a backup',
        description:
          'A tar.gz of the store, the tickets with their uncommitted work, the mirrors they borrow from and the conversations, consistent while work goes on; for `pullwright restore`. Of keys it holds hashes only, and no setting.',
        tags: ['housekeeping'],
        response: {
          200: { description: 'The backup.', content: { 'application/gzip': { schema: Archive } } },
          default: app.problemResponse,
        },
      },
    },
    async (_request, reply) => {
      const name = `pullwright-${new Date().toISOString().replaceAll(/[:.]/g, '-')}.tar.gz`;
      const archive = await app.backups.take(disconnectSignal(reply));
      return reply
        .type('application/gzip')
        .header('content-disposition', `attachment; filename="${name}"`)
        .send(archive);
    },
  );
};
