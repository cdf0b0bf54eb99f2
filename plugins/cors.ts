import cors from '@fastify/cors';
import fp from 'fastify-plugin';

/** Lets the origins that the operator named call from a browser; none by default. */
export default fp(
  async (app) => {
    await app.register(cors, {
      origin: [...app.config.CORS_ORIGINS],
      methods: ['GET', 'HEAD', 'POST', 'PUT', 'DELETE'],
      allowedHeaders: ['authorization', 'content-type', 'if-match', 'last-event-id', 'x-api-key'],
      exposedHeaders: ['etag', 'link', 'location', 'retry-after', 'x-run-id'],
    });
  },
  { name: 'cors', dependencies: ['config'] },
);
