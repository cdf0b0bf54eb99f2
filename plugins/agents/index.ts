import fp from 'fastify-plugin';
import { type Agents, createAgents } from '../../src/agents/agents.ts';
import { createSandbox, type Sandbox } from '../../src/sandbox/sandbox.ts';
import { agentRoutes } from './routes.ts';

declare module 'fastify' {
  interface FastifyInstance {
    sandbox: Sandbox;
    agents: Agents;
  }
}

/** `app.sandbox` and `app.agents`: coding agents behind the Agent Client Protocol, each in a sandbox. */
export default fp(
  async (app) => {
    const { config } = app;
    const sandbox = createSandbox({ config, parentEnv: app.parentEnv });
    const agents = createAgents({ config, sandbox, logger: app.log, parentEnv: app.parentEnv });
    app.decorate('sandbox', sandbox);
    app.decorate('agents', agents);
    app.addHook('onClose', () => agents.close());
    await app.register(agentRoutes);
  },
  { name: 'agents', dependencies: ['config', 'openapi'] },
);
