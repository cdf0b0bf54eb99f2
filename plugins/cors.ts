import cors from '@fastify/cors';
import fp from 'fastify-plugin';

/** Lets the origins that the operator named call from a browser; none by default. */
export default fp(
  async (app) => {
    // The route that the library adds for preflights, which come without a key.
    app.addHook('onRoute', (route) => {
      if (route.method === 'OPTIONS' && route.url === '*') route.config = { ...route.config, public: true };
    });
    await app.register(cors, {
      origin: [...app.config.CORS_ORIGINS],
      methods: ['GET', 'HEAD', 'POST', 'PUT', 'DELETE'],
      allowedHeaders: ['authorization', 'content-type', 'if-match', 'last-event-id', 'x-api-key'],
      exposedHeaders: ['etag', 'link', 'location', 'ratelimit', 'ratelimit-policy', 'retry-after', 'x-run-id'],
    });
  },
  { name: 'cors', dependencies: ['config'] },
);
