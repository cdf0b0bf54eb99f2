import fp from 'fastify-plugin';
import { AppError } from '../../src/errors/app-error.ts';

declare module 'fastify' {
  interface FastifyInstance {
    /** Aborts when the server starts to shut down. */
    closing: AbortSignal;
  }
  interface FastifyContextConfig {
    /** The route also answers during shutdown. */
    whileStopping?: true;
  }
}

/**
 * Decorates `app.closing`, which cancels work that belongs to a request and not to a run. During shutdown, the server refuses
 * requests. After three quarters of SHUTDOWN_SECONDS it closes the connections of clients that do not read.
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
