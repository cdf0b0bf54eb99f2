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
    /** `null` until the caller is known. */
    knownCaller: Caller | null;
    /** Name of the cookie that holds a session. */
    sessionCookie: string;
    /** Who looks, by the session alone; nobody is refused. */
    visitor(): Caller | undefined;
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
    if (!isLoopback(config.HOST) && !keys.hasValid()) {
      throw new Error(
        `HOST is ${JSON.stringify(config.HOST)}, which others can reach, and there is no valid API key. Set API_KEY, or set HOST=127.0.0.1.`,
      );
    }
    const sessions = await createSessions({ store, keys, logger: app.log });
    app.decorate('keys', keys);
    app.decorate('sessions', sessions);

    // Kept in the request: a WeakMap of requests is dear to collect.
    app.decorateRequest('knownCaller', null);
    app.decorateRequest('caller', {
      getter() {
        return this.knownCaller ?? ANONYMOUS;
      },
    });

    app.decorateRequest('sessionCookie', {
      getter() {
        return sessionCookieName(this);
      },
    });
    app.decorateRequest('visitor', function visitor() {
      if (isLoopback(config.HOST) && !keys.isRequired()) return LOOPBACK;
      const token = cookie(this, this.sessionCookie);
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
      if (open === true || request.is404) return limits.request(request, reply);
      reply.header('cache-control', 'no-store');
      request.knownCaller = await authenticate(request, reply);
      await limits.request(request, reply);
      requireScope(request.caller, scope ?? ['admin']);
    });

    async function authenticate(request: FastifyRequest, reply: FastifyReply): Promise<Caller> {
      if (isLoopback(config.HOST) && !keys.isRequired()) return onLoopback(request, reply);
      await limits.failuresSoFar(request, reply);
      const given = presentedKey(request);
      if (given === undefined && cookie(request, request.sessionCookie) !== undefined) {
        return signedIn(request, reply);
      }
      const checked = given === undefined ? { fault: 'The request holds no API key.' } : keys.authenticate(given);
      if ('caller' in checked) return checked.caller;
      // The secret was right, so it is known whose key it was.
      if (checked.keyId !== undefined) request.knownCaller = { id: checked.keyId, scopes: [] };
      await limits.failure(request, reply);
      await limits.request(request, reply);
      reply.header('www-authenticate', 'Bearer realm="pullwright"');
      throw new AppError('unauthorized', checked.fault);
    }

    /** Where nobody needs a key, a browser lets any page change something that takes no body and whose answer it may not see. */
    async function onLoopback(request: FastifyRequest, reply: FastifyReply): Promise<Caller> {
      const { origin, 'sec-fetch-site': site } = request.headers;
      const fromPage = origin !== undefined || site !== undefined;
      if (reads(request) || !fromPage || isSameOrigin(request) || config.CORS_ORIGINS.includes(origin ?? '')) {
        return LOOPBACK;
      }
      await limits.request(request, reply);
      throw new AppError('cross_origin', 'Another site sent this request; it is not one of CORS_ORIGINS.');
    }

    /** A session that is over is no failure: nobody guesses 32 bytes, and its page may have asked for much at once. */
    async function signedIn(request: FastifyRequest, reply: FastifyReply): Promise<Caller> {
      const ours = isSameOrigin(request);
      const caller = ours ? request.visitor() : undefined;
      if (caller !== undefined) return caller;
      await limits.request(request, reply);
      if (ours) throw new AppError('unauthorized', 'The session is over. Sign in again.');
      throw new AppError('cross_origin', 'The session of the dashboard was used by another site.');
    }
  },
  { name: 'auth', dependencies: ['config', 'store', 'rate-limit'] },
);

function presentedKey({ headers }: FastifyRequest): string | undefined {
  const header = headers['x-api-key'];
  if (typeof header === 'string') return header;
  return /^Bearer +(\S+)$/i.exec(headers.authorization ?? '')?.[1];
}

/** Servers on other ports of this machine share its cookies, so there the port is part of the name. */
function sessionCookieName({ headers, protocol }: FastifyRequest): string {
  const [, name = '', port = '80'] = /^(.*?)(?::(\d+))?$/.exec(headers.host ?? '') ?? [];
  const onLoopback = protocol === 'http' && isLoopback(name.replace(/^\[|\]$/g, '').toLowerCase());
  return onLoopback ? `pullwright-${port}` : '__Host-pullwright';
}

function cookie({ headers }: FastifyRequest, name: string): string | undefined {
  const pairs = (headers.cookie ?? '').split(';').map((pair) => pair.trim());
  return pairs.find((pair) => pair.startsWith(`${name}=`))?.slice(name.length + 1);
}

/**
 * A cookie is sent by the browser, whichever page asks it to; so it speaks for requests of our own pages only. Browsers that
 * send no `Sec-Fetch-Site` (https://w3c.github.io/webappsec-fetch-metadata/) send `Origin` with what changes something.
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
