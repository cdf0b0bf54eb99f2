import fp from 'fastify-plugin';
import { createSandbox, type Sandbox } from '../../src/sandbox/sandbox.ts';

declare module 'fastify' {
  interface FastifyInstance {
    sandbox: Sandbox;
  }
}

/** `app.sandbox`: where agents run, and the server's own programs on files that an agent can write. */
export default fp(
  async (app) => {
    const { config, parentEnv } = app;
    const sandbox = createSandbox({ config, parentEnv });
    app.decorate('sandbox', sandbox);

    async function logState(): Promise<void> {
      const fields = { sandbox: sandbox.kind, egress: config.EGRESS_ALLOW };
      if (sandbox.kind === 'none') return app.log.warn(fields, 'agents run without walls: SANDBOX=none');
      const result = await sandbox.check();
      await logLimits();
      if (result.ok) app.log.info(fields, 'sandbox self-test passed');
      else app.log.error({ ...fields, ...result }, 'sandbox self-test failed: agents are not started');
    }
    async function logLimits(): Promise<void> {
      const limits = await sandbox.checkLimits();
      const { SANDBOX_MEMORY_MB: memory_mb, SANDBOX_CPUS: cpus } = config;
      if (limits.ok) return app.log.info({ cgroup: limits.version, memory_mb, cpus }, 'a cgroup limits each sandbox');
      const { detail, remedy } = limits;
      app.log.warn({ detail, remedy, memory_mb }, 'memory is limited per process, not per sandbox');
    }
    let logged: Promise<void> | undefined;
    // The server answers meanwhile; an agent waits for the same result.
    app.addHook('onReady', async () => {
      logged = logState();
    });
    app.addHook('onClose', async () => {
      await logged;
    });
  },
  { name: 'sandbox', dependencies: ['config'] },
);
