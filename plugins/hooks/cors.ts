import cors from '@fastify/cors';
import fp from 'fastify-plugin';

declare module 'fastify' {
  interface FastifyReply {
    /** Adds a request header to `Vary`. */
    varyBy(header: string): FastifyReply;
  }
}

/** Allows CORS requests from CORS_ORIGINS; none by default. */
export default fp(
  async (app) => {
    app.decorateReply('varyBy', function varyBy(header) {
      const present = this.getHeader('vary');
      return this.header('vary', present === undefined ? header : `${present}, ${header}`);
    });
    const origins = [...app.config.CORS_ORIGINS];
    if (origins.length === 0) return;
    // The library adds this route for preflight requests, which have no key.
    app.addHook('onRoute', (route) => {
      if (route.method === 'OPTIONS' && route.url === '*') route.config = { ...route.config, public: true };
    });
    await app.register(cors, {
      origin: origins,
      strictPreflight: false,
      methods: ['GET', 'HEAD', 'POST', 'PUT', 'DELETE'],
      allowedHeaders: ['authorization', 'content-type', 'idempotency-key', 'if-match', 'last-event-id', 'x-api-key'],
      exposedHeaders: [
        'etag',
        'idempotent-replayed',
        'link',
        'location',
        'ratelimit',
        'ratelimit-policy',
        'retry-after',
        'x-run-id',
      ],
    });
  },
  { name: 'cors', dependencies: ['config'] },
);
