import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { UsageQuery, UsageReport } from '../../schemas/usage.ts';
import { requireScope } from '../../src/keys/caller.ts';
import { usageReport } from '../../src/runs/usage-report.ts';

export const usageRoutes: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/v1/usage',
    {
      config: { scope: ['read'] },
      schema: {
        operationId: 'getUsage',
        summary: 'Read the usage of runs',
        description:
          'Tokens, runs and durations by day, ticket or key. Counts runs created from `from` to `to` that are not deleted. `by=key` needs the scope `admin`.',
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
