import rateLimit from '@fastify/rate-limit';
import type { FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { AppError } from '../src/errors/app-error.ts';
import type { ErrorCode } from '../src/errors/error-codes.ts';

declare module 'fastify' {
  interface FastifyInstance {
    limits: {
      /** Counts a request against its caller's key. */
      key: Limit;
      /** Counts a request without a valid key against its address. */
      failure: Limit;
      /** Refuses an address that failed too often, without counting. */
      failuresSoFar: Limit;
    };
  }
}

/** @throws AppError that names when to come back */
type Limit = (request: FastifyRequest, reply: FastifyReply) => Promise<void>;

type State = { max: number; remaining: number; ttlInSeconds: number };

const WINDOW_SECONDS = 60;

/**
 * Limits requests per client address, and gives `app.limits` for what is known later of a request. A stream counts once,
 * when it is opened. What is left is told in the fields of draft-ietf-httpapi-ratelimit-headers
 * (https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/).
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
      async key(request, reply) {
        const state = await keys(request);
        if (state.isAllowed) return;
        announce(reply, 'key', state);
        if (state.isExceeded) throw exceeded('rate_limited', 'with this key', state);
      },
      async failure(request, reply) {
        const state = await failures(request);
        if (!state.isAllowed && state.isExceeded) throw failed(reply, state);
      },
      async failuresSoFar(request, reply) {
        const state = await failures(request, { increment: false });
        if (!state.isAllowed && state.remaining === 0) throw failed(reply, state);
      },
    });

    app.addHook('onRequest', async (request, reply) => {
      const state = await addresses(request);
      if (state.isAllowed) return;
      announce(reply, 'address', state);
      if (state.isExceeded) throw exceeded('rate_limited', 'from this address', state);
    });
  },
  { name: 'rate-limit', dependencies: ['config'] },
);

/** Adds a policy to `RateLimit-Policy`, and what is left of it to `RateLimit`. */
function announce(reply: FastifyReply, policy: string, { max, remaining, ttlInSeconds }: State): void {
  append(reply, 'ratelimit-policy', `"${policy}";q=${max};w=${WINDOW_SECONDS}`);
  append(reply, 'ratelimit', `"${policy}";r=${remaining};t=${ttlInSeconds}`);
}

/** Appends to a field that is a list (RFC 9651 §3.1). */
function append(reply: FastifyReply, name: string, item: string): void {
  const before = reply.getHeader(name);
  reply.header(name, before === undefined ? item : `${before}, ${item}`);
}

function failed(reply: FastifyReply, state: State): AppError {
  announce(reply, 'failures', state);
  return exceeded('too_many_failures', 'without a valid key from this address', state);
}

function exceeded(code: ErrorCode, which: string, { max, ttlInSeconds }: State): AppError {
  return new AppError(code, `More than ${max} requests ${which} came within a minute.`, { retryAfter: ttlInSeconds });
}
