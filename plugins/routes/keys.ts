import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from '@sinclair/typebox';
import { CreateKey, KeyCreated, KeyList, KeyParams, KeyQuery } from '../../schemas/key.ts';
import { AppError } from '../../src/errors/app-error.ts';

export const keyRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { keys, problemResponse } = app;
  const config = { scope: ['admin'] } as const;
  const tags = ['keys'];

  app.post(
    '/v1/keys',
    {
      config: { ...config, secretResponse: true },
      schema: {
        operationId: 'createKey',
        summary: 'Create an API key',
        description:
          'The answer holds the key, which is not shown again. To rotate a key, create its successor, then delete it; both work in between. As soon as there is a key, every request needs one.',
        tags,
        body: CreateKey,
        response: { 201: KeyCreated, default: problemResponse },
      },
    },
    async (request, reply) => {
      if (!keys.needed() && !request.body.scopes.includes('admin')) {
        throw new AppError(
          'invalid_request',
          'The first key must have the scope admin, or nobody could make another.',
          {
            errors: [{ path: '/scopes', message: 'must hold admin in the first key' }],
          },
        );
      }
      const created = await keys.create(request.body);
      request.audit({ key_id: created.key_id });
      return reply.code(201).send(created);
    },
  );

  app.get(
    '/v1/keys',
    {
      config,
      schema: {
        operationId: 'listKeys',
        summary: 'List the API keys, newest first',
        description: 'Also those that expired or were revoked; API_KEY is not among them.',
        tags,
        querystring: KeyQuery,
        response: { 200: KeyList, default: problemResponse },
      },
    },
    async (request) => keys.list(request.query),
  );

  app.delete(
    '/v1/keys/:key_id',
    {
      config,
      schema: {
        operationId: 'revokeKey',
        summary: 'Revoke an API key',
        description: 'At once: its next request is refused and its streams end. Runs that it started go on.',
        tags,
        params: KeyParams,
        response: { 204: Type.Null({ description: 'Revoked.' }), default: problemResponse },
      },
    },
    async (request, reply) => {
      await keys.revoke(request.params.key_id);
      return reply.code(204).send(null);
    },
  );
};
