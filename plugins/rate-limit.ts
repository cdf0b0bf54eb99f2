import rateLimit from '@fastify/rate-limit';
import fp from 'fastify-plugin';
import { AppError } from '../src/errors/app-error.ts';

/** Limits requests per client address. */
export default fp(
  async (app) => {
    await app.register(rateLimit, {
      max: app.config.RATE_LIMIT_PER_MINUTE,
      timeWindow: '1 minute',
      enableDraftSpec: true,
      errorResponseBuilder: (_request, { max, ttl }) =>
        new AppError('rate_limited', `More than ${max} requests came within a minute.`, { retryAfter: ttl / 1000 }),
    });
  },
  { name: 'rate-limit', dependencies: ['config'] },
);
