import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from '@sinclair/typebox';
import { Session } from '../../schemas/session.ts';
import { AppError } from '../../src/errors/app-error.ts';
import type { Caller } from '../../src/keys/caller.ts';

/** Signing in to the dashboard: an API key is given once, for a cookie that no script can read. */
export const sessionRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { keys, sessions, problemResponse } = app;
  const tags = ['session'];

  app.post(
    '/v1/session',
    {
      config: { scope: ['read'], secretResponse: true },
      schema: {
        operationId: 'signIn',
        summary: 'Sign in',
        description:
          'Exchanges the API key of the request for a session cookie (`HttpOnly`, `SameSite=Strict`; `Secure` but on loopback), for at most a week. It may do what the key may, for requests from the same origin, and ends with the key. Where no key is needed there is no cookie.',
        tags,
        response: { 200: Session, default: problemResponse },
      },
    },
    async (request, reply) => {
      const { caller } = request;
      if (caller.session !== undefined) throw new AppError('unauthorized', 'Signing in needs the API key itself.');
      if (!keys.needed()) return describe(caller);
      const { token, expiresAt } = await sessions.open(caller);
      const maxAge = Math.floor((expiresAt.getTime() - Date.now()) / 1000);
      reply.setCookie(request.sessionCookie, token, { ...cookieOptions(request.sessionCookie), maxAge });
      return { ...describe(caller), expires_at: expiresAt.toISOString() };
    },
  );

  app.get(
    '/v1/session',
    {
      config: { public: true },
      schema: {
        operationId: 'getSession',
        summary: 'Who is signed in',
        description: 'By the session cookie alone; `signed_in` is also true where no key is needed.',
        tags,
        response: { 200: Session, default: problemResponse },
      },
    },
    async (request, reply) => {
      reply.header('cache-control', 'no-store');
      const caller = request.sessionCaller();
      return caller === undefined ? { signed_in: false, scopes: [] } : describe(caller);
    },
  );

  app.delete(
    '/v1/session',
    {
      config: { scope: ['read'] },
      schema: {
        operationId: 'signOut',
        summary: 'Sign out',
        description: 'Ends the session of the cookie and its streams.',
        tags,
        response: { 204: Type.Null({ description: 'Signed out.' }), default: problemResponse },
      },
    },
    async (request, reply) => {
      sessions.end(request.caller);
      reply.clearCookie(request.sessionCookie, cookieOptions(request.sessionCookie));
      return reply.code(204).send(null);
    },
  );

  function describe(caller: Caller): Session {
    const { id, scopes, repositories } = caller;
    const expires = sessions.expiry(caller);
    return {
      signed_in: true,
      key_id: id,
      name: keys.holder(id)?.name ?? id,
      scopes: [...scopes],
      ...(repositories === undefined ? {} : { repositories: [...repositories] }),
      ...(expires === undefined ? {} : { expires_at: expires }),
    };
  }
};

function cookieOptions(name: string) {
  return { path: '/', httpOnly: true, sameSite: 'strict', secure: name.startsWith('__Host-') } as const;
}
