import fp from 'fastify-plugin';
import type { AgentDefinition } from '../../src/agents/agent-definition.ts';
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
  async (app, { definitions }: { definitions: readonly AgentDefinition[] | undefined }) => {
    const { config } = app;
    const sandbox = createSandbox({ config, parentEnv: app.parentEnv });
    const agents = createAgents({
      config,
      sandbox,
      redactor: app.redactor,
      logger: app.log,
      parentEnv: app.parentEnv,
      ...(definitions && { definitions }),
    });
    if (!agents.has(config.AGENT)) {
      throw new Error(`AGENT is ${JSON.stringify(config.AGENT)}, and there is no such agent. Set it to gemini.`);
    }
    app.decorate('sandbox', sandbox);
    app.decorate('agents', agents);

    async function sayState(): Promise<void> {
      const fields = { sandbox: sandbox.kind, egress: config.EGRESS_ALLOW };
      if (sandbox.kind === 'none') return app.log.warn(fields, 'agents run without walls: SANDBOX=none');
      const result = await sandbox.check();
      await logLimits();
      if (result.ok) app.log.info(fields, 'the sandbox holds');
      else app.log.error({ ...fields, ...result }, 'the sandbox does not hold: agents are not started');
    }
    async function logLimits(): Promise<void> {
      const limits = await sandbox.checkLimits();
      const { SANDBOX_MEMORY_MB: memory_mb, SANDBOX_CPUS: cpus } = config;
      if (limits.ok) return app.log.info({ cgroup: limits.version, memory_mb, cpus }, 'a cgroup limits each sandbox');
      const { detail, remedy } = limits;
      app.log.warn({ detail, remedy, memory_mb }, 'memory is limited per process, not per sandbox');
      if (process.getuid?.() === 0) {
        const remedy = 'Run it as a user of its own, or limit the processes of its service or container.';
        app.log.warn({ remedy }, 'the server runs as root, so the number of processes in a sandbox has no limit');
      }
    }
    let said: Promise<void> | undefined;
    // The server answers meanwhile; an agent waits for the same result.
    app.addHook('onReady', async () => {
      said = sayState();
    });
    app.addHook('onClose', async () => {
      await agents.close();
      await said;
    });
    await app.register(agentRoutes);
  },
  { name: 'agents', dependencies: ['config', 'redaction', 'openapi'] },
);
