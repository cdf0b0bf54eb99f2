import fp from 'fastify-plugin';
import { createDiskGuard, type DiskGuard } from '../../src/housekeeping/disk-guard.ts';

declare module 'fastify' {
  interface FastifyInstance {
    disk: DiskGuard;
  }
  interface FastifyContextConfig {
    /** Refuses requests while the disk is full or read-only. */
    needsDisk?: true;
  }
}

/** Decorates `app.disk`, and refuses routes with `needsDisk` while the disk is full or read-only. */
export default fp(
  async (app) => {
    const disk = createDiskGuard(app.config);
    app.decorate('disk', disk);
    app.addHook('onRoute', (route) => {
      if (route.config?.needsDisk === true) route.onRequest = [admit, ...[route.onRequest ?? []].flat()];
    });

    async function admit(): Promise<void> {
      const problem = await disk.problem();
      if (problem !== undefined) throw problem;
    }
  },
  { name: 'disk', dependencies: ['config', 'auth'] },
);
