import fp from 'fastify-plugin';
import { AppError } from '../../src/errors/app-error.ts';

declare module 'fastify' {
  interface FastifyInstance {
    /** Aborted when the server begins to stop. */
    closing: AbortSignal;
  }
  interface FastifyContextConfig {
    /** Answered while the server stops, too. */
    whileStopping?: true;
  }
}

/**
 * `app.closing`, aborted when the server begins to stop, for work that belongs to a request and not to a run. From then
 * on requests are refused, and towards the end of the time, clients that do not read are cut off.
 */
export default fp(
  async (app) => {
    const controller = new AbortController();
    const stopping = () => new AppError('shutting_down', 'The server is stopping.', { retryAfter: 10 });
    app.decorate('closing', controller.signal);
    app.addHook('onRequest', (request, _reply, done) => {
      if (controller.signal.aborted && request.routeOptions.config.whileStopping !== true) throw stopping();
      done();
    });
    app.addHook('preClose', async () => {
      controller.abort(stopping());
      setTimeout(() => app.server.closeAllConnections(), app.config.SHUTDOWN_SECONDS * 750).unref();
    });
  },
  { name: 'lifecycle', dependencies: ['config'] },
);
