import fp from 'fastify-plugin';
import { createRunEngine, type RunEngine } from '../../src/runs/run-engine.ts';

declare module 'fastify' {
  interface FastifyInstance {
    runs: RunEngine;
  }
}

/** `app.runs`, which carries out commands one after another per ticket, and the routes of runs. */
export default fp(
  async (app) => {
    const { config, store, workspaces, sandbox, agents, plans, github, permissions, redactor, disk } = app;
    const runs = createRunEngine({
      config,
      store,
      log: app.eventLog,
      workspaces,
      sandbox,
      agents,
      plans,
      github,
      permissions,
      redactor,
      logger: app.log,
      canStart: async () => (await disk.problem()) === undefined,
    });
    app.decorate('runs', runs);
    // Not before the address is taken: a server that cannot listen must not touch the runs of another one.
    app.addHook('onListen', () => runs.start());
    // Before the streams end: their readers see how the runs that were under way ended.
    app.addHook('preClose', () => runs.stop((config.SHUTDOWN_SECONDS * 1000) / 2));
  },
  { name: 'runs', dependencies: ['store', 'workspaces', 'agents', 'plans', 'github', 'permissions', 'disk'] },
);
