import fp from 'fastify-plugin';
import { createPermissions, type Permissions } from '../../src/runs/permissions.ts';

declare module 'fastify' {
  interface FastifyInstance {
    permissions: Permissions;
  }
}

/** `app.permissions`, which asks people on behalf of agents, and the routes for their answers. */
export default fp(
  async (app) => {
    const permissions = createPermissions({ config: app.config, store: app.store, log: app.eventLog });
    app.decorate('permissions', permissions);
    // The address is taken, and the runs are not yet gone on with: that hook comes after this one.
    app.addHook('onListen', () => permissions.recover());
  },
  { name: 'permissions', dependencies: ['config', 'store', 'audit-log', 'openapi'] },
);
