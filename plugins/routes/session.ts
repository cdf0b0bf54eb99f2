import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from '@sinclair/typebox';
import { Session } from '../../schemas/session.ts';
import { AppError } from '../../src/errors/app-error.ts';
import type { Caller } from '../../src/keys/caller.ts';

/** Signs people in to the dashboard: exchanges an API key for a cookie that no script can read. */
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
          'Exchanges the API key for a session cookie (`HttpOnly`, `SameSite=Strict`; `Secure` except on loopback) that is valid for at most a week. The session has the rights of the key, for requests of the same origin, and expires with the key. A server that needs no key sets no cookie.',
        tags,
        response: { 200: Session, default: problemResponse },
      },
    },
    async (request, reply) => {
      const { caller } = request;
      if (caller.session !== undefined) throw new AppError('unauthorized', 'Sign-in needs an API key, not a session.');
      if (!keys.isRequired()) return describe(caller);
      const { token, expiresAt } = await sessions.signIn(caller);
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
        summary: 'Read the session',
        description: 'Reads the session cookie only. `signed_in` is also true when the server needs no key.',
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
        description: 'Closes the session and its streams.',
        tags,
        response: { 204: Type.Null({ description: 'Signed out.' }), default: problemResponse },
      },
    },
    async (request, reply) => {
      sessions.signOut(request.caller);
      reply.clearCookie(request.sessionCookie, cookieOptions(request.sessionCookie));
      return reply.code(204).send(null);
    },
  );

  function describe(caller: Caller): Session {
    const { id, scopes, repositories } = caller;
    const expires = sessions.expiresAt(caller);
    return {
      signed_in: true,
      key_id: id,
      name: keys.findValid(id)?.name ?? id,
      scopes: [...scopes],
      ...(repositories === undefined ? {} : { repositories: [...repositories] }),
      ...(expires === undefined ? {} : { expires_at: expires }),
    };
  }
};

function cookieOptions(name: string) {
  return { path: '/', httpOnly: true, sameSite: 'strict', secure: name.startsWith('__Host-') } as const;
}
