import fp from 'fastify-plugin';
import { createHousekeeper, type Housekeeper } from '../../src/housekeeping/housekeeper.ts';
import { housekeepingRoutes } from './routes.ts';

declare module 'fastify' {
  interface FastifyInstance {
    housekeeper: Housekeeper;
  }
}

/** `app.housekeeper`, which deletes what is old and makes room, and the routes for who looks after the server. */
export default fp(
  async (app) => {
    const { config, store, eventLog, workspaces, agents, disk } = app;
    const housekeeper = createHousekeeper({
      config,
      store,
      log: eventLog,
      workspaces,
      agents,
      disk,
      logger: app.log,
    });
    app.decorate('housekeeper', housekeeper);
    app.addHook('onListen', async () => housekeeper.start());
    app.addHook('preClose', () => housekeeper.stop());
    await app.register(housekeepingRoutes);
  },
  { name: 'housekeeping', dependencies: ['store', 'workspaces', 'agents', 'runs', 'disk', 'openapi'] },
);
