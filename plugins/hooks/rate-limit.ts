import rateLimit from '@fastify/rate-limit';
import type { FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { AppError } from '../../src/errors/app-error.ts';
import type { ErrorCode } from '../../src/errors/error-codes.ts';
import { LOOPBACK } from '../../src/keys/keys.ts';

declare module 'fastify' {
  interface FastifyInstance {
    limits: {
      /** Counts a request against its key, or else against its address. */
      countRequest: Limit;
      /** Counts a request without a valid key against its address. */
      countFailure: Limit;
      /** Refuses an address with too many failures, without counting the request. */
      checkFailures: Limit;
    };
  }
}

/** @throws AppError with `retryAfter` */
type Limit = (request: FastifyRequest, reply: FastifyReply) => Promise<void>;

type State = { max: number; remaining: number; ttlInSeconds: number };

const WINDOW_SECONDS = 60;

/**
 * Decorates `app.limits`, the requests per minute of one caller. The hook that identifies the caller counts the request.
 * Malformed requests are not counted; a stream counts once. Answers report the limits in the fields of
 * https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/.
 */
export default fp(
  async (app) => {
    const { RATE_LIMIT_PER_MINUTE, KEY_RATE_LIMIT_PER_MINUTE, AUTH_FAILURES_PER_MINUTE } = app.config;
    await app.register(rateLimit, { global: false, timeWindow: WINDOW_SECONDS * 1000 });
    const addresses = app.createRateLimit({ max: RATE_LIMIT_PER_MINUTE });
    const failures = app.createRateLimit({ max: AUTH_FAILURES_PER_MINUTE });
    const keys = app.createRateLimit({
      max: KEY_RATE_LIMIT_PER_MINUTE,
      keyGenerator: (request) => request.caller.id,
    });

    app.decorate('limits', {
      async countRequest(request, reply) {
        const { identifiedCaller } = request;
        const [policy, which, count] =
          identifiedCaller !== null && identifiedCaller !== LOOPBACK
            ? (['key', 'with this key', keys] as const)
            : (['address', 'from this address', addresses] as const);
        const state = await count(request);
        if (state.isAllowed) return;
        reportLimit(reply, policy, state);
        if (state.isExceeded) throw exceeded('rate_limited', which, state);
      },
      async countFailure(request, reply) {
        const state = await failures(request);
        if (!state.isAllowed && state.isExceeded) throw failed(reply, state);
      },
      async checkFailures(request, reply) {
        const state = await failures(request, { increment: false });
        if (!state.isAllowed && state.remaining === 0) throw failed(reply, state);
      },
    });
  },
  { name: 'rate-limit', dependencies: ['config'] },
);

function reportLimit(reply: FastifyReply, policy: string, { max, remaining, ttlInSeconds }: State): void {
  reply.header('ratelimit-policy', `"${policy}";q=${max};w=${WINDOW_SECONDS}`);
  reply.header('ratelimit', `"${policy}";r=${remaining};t=${ttlInSeconds}`);
}

function failed(reply: FastifyReply, state: State): AppError {
  reportLimit(reply, 'failures', state);
  return exceeded('too_many_failures', 'without a valid key from this address', state);
}

function exceeded(code: ErrorCode, which: string, { max, ttlInSeconds }: State): AppError {
  return new AppError(code, `More than ${max} requests ${which} arrived within a minute.`, {
    retryAfter: ttlInSeconds,
  });
}
