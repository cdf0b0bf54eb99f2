import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { AppError } from '../src/errors/app-error.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Answered without an API key. */
    public?: boolean;
  }
}

/** With API_KEY set, every route that is not public asks for it. The check comes after the rate limit's hook. */
export default fp(
  async (app) => {
    const { API_KEY } = app.config;
    if (API_KEY === undefined) return;
    const expected = digest(API_KEY);
    app.addHook('preValidation', async (request, reply) => {
      if (request.routeOptions.config.public === true || request.is404) return;
      const given = presentedKey(request);
      if (given === undefined || !timingSafeEqual(digest(given), expected)) {
        reply.header('www-authenticate', 'Bearer realm="pullwright"');
        throw new AppError(
          'unauthorized',
          given === undefined ? 'The request holds no API key.' : 'The API key is not valid.',
        );
      }
    });
  },
  { name: 'auth', dependencies: ['config', 'rate-limit'] },
);

function presentedKey({ headers }: FastifyRequest): string | undefined {
  const header = headers['x-api-key'];
  if (typeof header === 'string') return header;
  return /^Bearer +(\S+)$/i.exec(headers.authorization ?? '')?.[1];
}

/** Digests are of one length, which the comparison in constant time needs. */
function digest(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}
