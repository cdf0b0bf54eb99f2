import fp from 'fastify-plugin';
import { createSandbox, type Sandbox } from '../../src/sandbox/sandbox.ts';

declare module 'fastify' {
  interface FastifyInstance {
    sandbox: Sandbox;
  }
}

/** Decorates `app.sandbox`, for agents and for programs of the server on files that agents can write. */
export default fp(
  async (app) => {
    const { config, parentEnv } = app;
    const sandbox = createSandbox({ config, parentEnv });
    app.decorate('sandbox', sandbox);

    async function logState(): Promise<void> {
      const fields = { sandbox: sandbox.kind, egress: config.EGRESS_ALLOW };
      if (sandbox.kind === 'none') return app.log.warn(fields, 'agents run without isolation: SANDBOX=none');
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
    // Runs in the background; the start of an agent awaits the same result.
    app.addHook('onReady', async () => {
      logged = logState();
    });
    app.addHook('onClose', async () => {
      await logged;
    });
  },
  { name: 'sandbox', dependencies: ['config'] },
);
