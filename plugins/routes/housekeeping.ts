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
          'Runs the hourly housekeeping: deletes data older than the RETAIN settings allow, parks idle workspaces whose work is pushed, repacks mirrors. Returns what was done, and the workspaces that were kept with the reason.',
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
          'Returns a tar.gz of the store, the tickets with their uncommitted work, their mirrors and the conversations, for `pullwright restore`. The backup is consistent while runs continue. It holds hashes of API keys and no settings.',
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
