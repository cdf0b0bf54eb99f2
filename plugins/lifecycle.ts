import fp from 'fastify-plugin';

declare module 'fastify' {
  interface FastifyInstance {
    /** Aborted when the server begins to stop. */
    closing: AbortSignal;
  }
}

/** `app.closing`: aborted when the server begins to stop, for work that belongs to a request and not to a run. */
export default fp(
  async (app) => {
    const controller = new AbortController();
    app.decorate('closing', controller.signal);
    app.addHook('preClose', async () => controller.abort());
  },
  { name: 'lifecycle' },
);
