import fp from 'fastify-plugin';
import type { AgentDefinition } from '../../src/agents/agent-definition.ts';
import { type Agents, createAgents } from '../../src/agents/agents.ts';

declare module 'fastify' {
  interface FastifyInstance {
    agents: Agents;
  }
}

/** Decorates `app.agents`, coding agents that speak the Agent Client Protocol in sandboxes. */
export default fp(
  async (app, { definitions }: { definitions: readonly AgentDefinition[] | undefined }) => {
    const { config, sandbox } = app;
    const agents = createAgents({
      config,
      sandbox,
      redactor: app.redactor,
      logger: app.log,
      parentEnv: app.parentEnv,
      definitions,
    });
    if (!agents.has(config.AGENT)) {
      throw new Error(`AGENT is ${JSON.stringify(config.AGENT)}, which is not an agent. Set it to gemini.`);
    }
    app.decorate('agents', agents);
    // The tickets plugin has recovered the folders by now. A server that cannot listen starts no agent.
    app.addHook('onListen', async () => agents.start());
    app.addHook('onClose', () => agents.close());
  },
  { name: 'agents', dependencies: ['config', 'redaction', 'sandbox', 'openapi'] },
);
