import fp from 'fastify-plugin';
import { auditRoutes } from './audit-routes.ts';
import { keyRoutes } from './key-routes.ts';

/** What admins manage and look at: keys, and the audit log. */
export default fp(
  async (app) => {
    await app.register(keyRoutes);
    await app.register(auditRoutes);
  },
  { name: 'admin', dependencies: ['store', 'auth', 'audit-log', 'openapi'] },
);
