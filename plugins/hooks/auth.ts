import cookie from '@fastify/cookie';
import type { FastifyReply, FastifyRequest, RouteOptions } from 'fastify';
import fp from 'fastify-plugin';
import type { Scope } from '../../schemas/key.ts';
import { isLoopback } from '../../src/config/loopback.ts';
import { AppError } from '../../src/errors/app-error.ts';
import { type Caller, requireScope } from '../../src/keys/caller.ts';
import { createKeys, type Keys, LOOPBACK } from '../../src/keys/keys.ts';
import { createSessions, type Sessions } from '../../src/keys/sessions.ts';

declare module 'fastify' {
  interface FastifyInstance {
    keys: Keys;
    sessions: Sessions;
  }
  interface FastifyRequest {
    caller: Caller;
    /** `null` until the caller is identified. */
    identifiedCaller: Caller | null;
    /** Name of the session cookie. */
    sessionCookie: string;
    /** Returns the caller by the session cookie alone; refuses nothing. */
    sessionCaller(): Caller | undefined;
  }
  interface FastifyContextConfig {
    /** The route needs no API key. */
    public?: true;
    /** The key needs one of these scopes. */
    scope?: readonly [Scope, ...Scope[]];
  }
}

const ANONYMOUS: Caller = { id: 'anonymous', scopes: [] };

/**
 * Decorates `app.keys`, `app.sessions` and `request.caller`. Each route names its scope or is public. The key is checked
 * before the body is read. A server that listens on loopback only and has no key needs none.
 */
export default fp(
  async (app) => {
    const { config, store, limits } = app;
    const keys = await createKeys({ config, store, logger: app.log });
    if (!isLoopback(config.HOST) && !keys.hasValid()) {
      throw new Error(
        `HOST is ${JSON.stringify(config.HOST)}, which other machines can reach, but no API key is valid. Set API_KEY, or set HOST=127.0.0.1.`,
      );
    }
    const sessions = await createSessions({ store, keys, logger: app.log });
    app.decorate('keys', keys);
    app.decorate('sessions', sessions);

    await app.register(cookie);
    // A property, since garbage collection of a WeakMap of requests is expensive.
    app.decorateRequest('identifiedCaller', null);
    app.decorateRequest('caller', {
      getter() {
        return this.identifiedCaller ?? ANONYMOUS;
      },
    });

    app.decorateRequest('sessionCookie', {
      getter() {
        return sessionCookieName(this);
      },
    });
    app.decorateRequest('sessionCaller', function sessionCaller() {
      if (isLoopback(config.HOST) && !keys.isRequired()) return LOOPBACK;
      const token = this.cookies[this.sessionCookie];
      return token === undefined ? undefined : sessions.authenticate(token);
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
      if (open === true || request.is404) return limits.countRequest(request, reply);
      reply.header('cache-control', 'no-store');
      request.identifiedCaller = await authenticate(request, reply);
      await limits.countRequest(request, reply);
      requireScope(request.caller, scope ?? ['admin']);
    });

    async function authenticate(request: FastifyRequest, reply: FastifyReply): Promise<Caller> {
      if (isLoopback(config.HOST) && !keys.isRequired()) return withoutKey(request, reply);
      await limits.checkFailures(request, reply);
      const given = presentedKey(request);
      if (given === undefined && request.cookies[request.sessionCookie] !== undefined) return bySession(request, reply);
      const checked = given === undefined ? { fault: 'The request has no API key.' } : keys.authenticate(given);
      if ('caller' in checked) return checked.caller;
      // The secret is correct, but the key is expired or revoked.
      if (checked.keyId !== undefined) request.identifiedCaller = { id: checked.keyId, scopes: [] };
      await limits.countFailure(request, reply);
      await limits.countRequest(request, reply);
      reply.header('www-authenticate', 'Bearer realm="pullwright"');
      throw new AppError('unauthorized', checked.fault);
    }

    /** Refuses cross-origin changes where no key is needed: browsers let any page send simple requests. */
    async function withoutKey(request: FastifyRequest, reply: FastifyReply): Promise<Caller> {
      const { origin, 'sec-fetch-site': site } = request.headers;
      const fromPage = origin !== undefined || site !== undefined;
      if (reads(request) || !fromPage || isSameOrigin(request) || config.CORS_ORIGINS.includes(origin ?? '')) {
        return LOOPBACK;
      }
      await limits.countRequest(request, reply);
      throw new AppError('cross_origin', 'Another site sent this request, and CORS_ORIGINS does not list it.');
    }

    /** An expired session is not an authentication failure: its page may send many requests, and 32 bytes cannot be guessed. */
    async function bySession(request: FastifyRequest, reply: FastifyReply): Promise<Caller> {
      const sameOrigin = isSameOrigin(request);
      const caller = sameOrigin ? request.sessionCaller() : undefined;
      if (caller !== undefined) return caller;
      await limits.countRequest(request, reply);
      if (sameOrigin) throw new AppError('unauthorized', 'The session has expired. Sign in again.');
      throw new AppError('cross_origin', 'Another site used the session of the dashboard.');
    }
  },
  { name: 'auth', dependencies: ['config', 'store', 'rate-limit'] },
);

function presentedKey({ headers }: FastifyRequest): string | undefined {
  const header = headers['x-api-key'];
  if (typeof header === 'string') return header;
  return /^Bearer +(\S+)$/i.exec(headers.authorization ?? '')?.[1];
}

/** Includes the port on loopback, where servers on other ports share cookies. */
function sessionCookieName({ headers, protocol }: FastifyRequest): string {
  const [, name = '', port = '80'] = /^(.*?)(?::(\d+))?$/.exec(headers.host ?? '') ?? [];
  const onLoopback = protocol === 'http' && isLoopback(name.replace(/^\[|\]$/g, '').toLowerCase());
  return onLoopback ? `pullwright-${port}` : '__Host-pullwright';
}

/**
 * Tests whether a page of this server sent the request, since browsers send cookies with requests of any page. Browsers without
 * `Sec-Fetch-Site` (https://w3c.github.io/webappsec-fetch-metadata/) send `Origin` with requests other than reads.
 */
function isSameOrigin(request: FastifyRequest): boolean {
  const { host, origin, 'sec-fetch-site': site } = request.headers;
  if (site === undefined) return reads(request) || originHost(origin) === host;
  return site === 'same-origin' || (site === 'none' && reads(request));
}

function reads({ method }: FastifyRequest): boolean {
  return method === 'GET' || method === 'HEAD';
}

function originHost(origin: string | undefined): string | undefined {
  return origin !== undefined && URL.canParse(origin) ? new URL(origin).host : undefined;
}
