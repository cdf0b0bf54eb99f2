import fp from 'fastify-plugin';
import { createRunEngine, type RunEngine } from '../../src/runs/run-engine.ts';

declare module 'fastify' {
  interface FastifyInstance {
    runs: RunEngine;
  }
}

/** Decorates `app.runs`, which executes the commands of a ticket one after another. */
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
    // Only once the server listens: a server that cannot listen must not resume runs of another one.
    app.addHook('onListen', () => runs.start());
    // Before the streams close, so that their readers receive the terminal events.
    app.addHook('preClose', () => runs.stop((config.SHUTDOWN_SECONDS * 1000) / 2));
  },
  { name: 'runs', dependencies: ['store', 'workspaces', 'agents', 'plans', 'github', 'permissions', 'disk'] },
);
