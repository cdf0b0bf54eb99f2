import fp from 'fastify-plugin';
import { createPermissions, type Permissions } from '../../src/runs/permissions.ts';

declare module 'fastify' {
  interface FastifyInstance {
    permissions: Permissions;
  }
}

/** Decorates `app.permissions`, the requests of agents that people answer. */
export default fp(
  async (app) => {
    const permissions = createPermissions({ config: app.config, store: app.store, log: app.eventLog });
    app.decorate('permissions', permissions);
    // After the server listens, and before the hook of the runs plugin resumes runs.
    app.addHook('onListen', () => permissions.recover());
  },
  { name: 'permissions', dependencies: ['config', 'store', 'audit-log', 'openapi'] },
);
