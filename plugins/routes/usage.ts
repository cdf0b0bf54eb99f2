import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { UsageQuery, UsageReport } from '../../schemas/usage.ts';
import { requireScope } from '../../src/keys/caller.ts';
import { usageReport } from '../../src/runs/usage-report.ts';

/** What runs have used. */
export const usageRoutes: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/v1/usage',
    {
      config: { scope: ['read'] },
      schema: {
        operationId: 'getUsage',
        summary: 'Read what runs have used',
        description:
          'Tokens, runs and durations by day, ticket or key, of the runs that were created from `from` to `to` and are still there. By key needs the scope `admin`.',
        tags: ['usage'],
        querystring: UsageQuery,
        response: { 200: UsageReport, default: app.problemResponse },
      },
    },
    async ({ caller, query }) => {
      if (query.by === 'key') requireScope(caller, ['admin']);
      return usageReport(app.store.usage, query, caller.repositories);
    },
  );
};
