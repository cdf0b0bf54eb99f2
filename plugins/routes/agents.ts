import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { AgentList } from '../../schemas/agent.ts';

export const agentRoutes: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/v1/agents',
    {
      config: { scope: ['read'] },
      schema: {
        operationId: 'listAgents',
        summary: 'List the agents',
        description:
          'Configured agents, their versions, and for one that cannot work, why not; and how many processes of them there are.',
        tags: ['agents'],
        response: { 200: AgentList, default: app.problemResponse },
      },
    },
    async () => ({ items: await app.agents.list(), pool: await app.agents.pool() }),
  );
};
