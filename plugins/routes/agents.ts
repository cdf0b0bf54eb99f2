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
          'The configured agents with their versions, the reason why an agent is not available, and the number of agent processes by state.',
        tags: ['agents'],
        response: { 200: AgentList, default: app.problemResponse },
      },
    },
    async () => ({ items: await app.agents.list(), pool: await app.agents.pool() }),
  );
};
