import type { FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { AppError } from '../src/errors/app-error.ts';
import type { ErrorCode } from '../src/errors/error-codes.ts';
import { networkOf } from '../src/keys/network-of.ts';
import { createRateCounter, type Rate, WINDOW_SECONDS } from '../src/keys/rate-counter.ts';

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
type Limit = (request: FastifyRequest, reply: FastifyReply) => void;

/**
 * Limits requests per client address, and gives `app.limits` for what is known later of a request. A stream counts once,
 * when it is opened. What is left is told in the fields of draft-ietf-httpapi-ratelimit-headers
 * (https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/).
 */
export default fp(
  async (app) => {
    const { RATE_LIMIT_PER_MINUTE, KEY_RATE_LIMIT_PER_MINUTE, AUTH_FAILURES_PER_MINUTE } = app.config;
    const addresses = createRateCounter(RATE_LIMIT_PER_MINUTE);
    const failures = createRateCounter(AUTH_FAILURES_PER_MINUTE);
    const keys = createRateCounter(KEY_RATE_LIMIT_PER_MINUTE);

    app.decorate('limits', {
      key(request, reply) {
        const rate = keys.count(request.caller.id);
        announce(reply, 'key', rate);
        if (rate.exceeded) throw exceeded('rate_limited', 'with this key', rate);
      },
      failure(request, reply) {
        const rate = failures.count(networkOf(request.ip));
        if (rate.exceeded) throw failed(reply, rate);
      },
      failuresSoFar(request, reply) {
        const rate = failures.look(networkOf(request.ip));
        if (rate.remaining === 0) throw failed(reply, rate);
      },
    });

    app.addHook('onRequest', (request, reply, done) => {
      const rate = addresses.count(networkOf(request.ip));
      announce(reply, 'address', rate);
      if (rate.exceeded) throw exceeded('rate_limited', 'from this address', rate);
      done();
    });
  },
  { name: 'rate-limit', dependencies: ['config'] },
);

/** Adds a policy to `RateLimit-Policy`, and what is left of it to `RateLimit`. */
function announce(reply: FastifyReply, policy: string, { max, remaining, secondsLeft }: Rate): void {
  append(reply, 'ratelimit-policy', `"${policy}";q=${max};w=${WINDOW_SECONDS}`);
  append(reply, 'ratelimit', `"${policy}";r=${remaining};t=${secondsLeft}`);
}

/** Appends to a field that is a list (RFC 9651 §3.1). */
function append(reply: FastifyReply, name: string, item: string): void {
  const before = reply.getHeader(name);
  reply.header(name, before === undefined ? item : `${before}, ${item}`);
}

function failed(reply: FastifyReply, rate: Rate): AppError {
  announce(reply, 'failures', rate);
  return exceeded('too_many_failures', 'without a valid key from this address', rate);
}

function exceeded(code: ErrorCode, which: string, { max, secondsLeft }: Rate): AppError {
  return new AppError(code, `More than ${max} requests ${which} came within a minute.`, { retryAfter: secondsLeft });
}
