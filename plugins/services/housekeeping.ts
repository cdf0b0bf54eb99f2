import fp from 'fastify-plugin';
import { type Backups, createBackups } from '../../src/housekeeping/backup.ts';
import { createHousekeeper, type Housekeeper } from '../../src/housekeeping/housekeeper.ts';

declare module 'fastify' {
  interface FastifyInstance {
    housekeeper: Housekeeper;
    backups: Backups;
  }
}

/** Decorates `app.housekeeper`, which deletes expired data and frees disk space, and `app.backups`. */
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
    app.decorate(
      'backups',
      createBackups({ config, store, workspaces, confine: app.sandbox.confine, logger: app.log }),
    );
    app.addHook('onListen', async () => housekeeper.start());
    app.addHook('preClose', () => housekeeper.stop());
    app.addHook('onClose', () => app.backups.whenIdle());
  },
  { name: 'housekeeping', dependencies: ['store', 'sandbox', 'workspaces', 'agents', 'runs', 'disk', 'openapi'] },
);
