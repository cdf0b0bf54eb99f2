import type { FastifyReply, FastifyRequest, RouteOptions } from 'fastify';
import fp from 'fastify-plugin';
import type { Scope } from '../schemas/key.ts';
import { isLoopback } from '../src/config/load-config.ts';
import { AppError } from '../src/errors/app-error.ts';
import { type Caller, requireScope } from '../src/keys/caller.ts';
import { createKeys, type Keys, LOOPBACK } from '../src/keys/keys.ts';

declare module 'fastify' {
  interface FastifyInstance {
    keys: Keys;
  }
  interface FastifyRequest {
    caller: Caller;
    /** `null` until the caller is known. */
    knownCaller: Caller | null;
  }
  interface FastifyContextConfig {
    /** Answered without an API key. */
    public?: true;
    /** Scopes of which the caller's key needs one. */
    scope?: readonly [Scope, ...Scope[]];
  }
}

const ANONYMOUS: Caller = { id: 'anonymous', scopes: [] };

/**
 * `app.keys` and `request.caller`: every route names the scope it needs or is public, and nothing of a request is read
 * before its key was checked. Without any key, a server that is reached on loopback only needs none.
 */
export default fp(
  async (app) => {
    const { config, store, limits } = app;
    const keys = await createKeys({ config, store, logger: app.log });
    if (!isLoopback(config.HOST) && !keys.some()) {
      throw new Error(
        `HOST is ${JSON.stringify(config.HOST)}, which others can reach, and there is no valid API key. Set API_KEY, or set HOST=127.0.0.1.`,
      );
    }
    app.decorate('keys', keys);

    // Kept in the request: a WeakMap of requests is dear to collect.
    app.decorateRequest('knownCaller', null);
    app.decorateRequest('caller', {
      getter() {
        return this.knownCaller ?? ANONYMOUS;
      },
    });

    const routes: RouteOptions[] = [];
    app.addHook('onRoute', (route) => void routes.push(route));
    app.addHook('onReady', async () => {
      for (const { method, url, config } of routes) {
        if ((config?.public === true) === (config?.scope !== undefined)) {
          throw new Error(`Route ${method} ${url} must either name the scope it needs or be public.`);
        }
      }
    });

    app.addHook('onRequest', async (request, reply) => {
      const { public: open, scope } = request.routeOptions.config;
      if (open === true || request.is404) return;
      reply.header('cache-control', 'no-store');
      request.knownCaller = await authenticate(request, reply);
      await limits.key(request, reply);
      requireScope(request.caller, scope ?? ['admin']);
    });

    async function authenticate(request: FastifyRequest, reply: FastifyReply): Promise<Caller> {
      if (isLoopback(config.HOST) && !keys.needed()) return LOOPBACK;
      await limits.failuresSoFar(request, reply);
      const given = presentedKey(request);
      const checked = given === undefined ? { fault: 'The request holds no API key.' } : keys.check(given);
      if ('caller' in checked) return checked.caller;
      // The secret was right, so it is known whose key it was.
      if (checked.keyId !== undefined) request.knownCaller = { id: checked.keyId, scopes: [] };
      await limits.failure(request, reply);
      reply.header('www-authenticate', 'Bearer realm="pullwright"');
      throw new AppError('unauthorized', checked.fault);
    }
  },
  { name: 'auth', dependencies: ['config', 'store', 'rate-limit'] },
);

function presentedKey({ headers }: FastifyRequest): string | undefined {
  const header = headers['x-api-key'];
  if (typeof header === 'string') return header;
  return /^Bearer +(\S+)$/i.exec(headers.authorization ?? '')?.[1];
}
