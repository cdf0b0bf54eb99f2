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
          'Returns the key, which is not shown again. To rotate a key, create its successor, then revoke the old key; both are valid in between. Once a key exists, every request needs one.',
        tags,
        body: CreateKey,
        response: { 201: KeyCreated, default: problemResponse },
      },
    },
    async (request, reply) => {
      if (!keys.isRequired() && !request.body.scopes.includes('admin')) {
        throw new AppError(
          'invalid_request',
          'The first key must have the scope admin, or nobody could create another key.',
          {
            errors: [{ path: '/scopes', message: 'must include admin in the first key' }],
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
        description: 'Includes expired and revoked keys, but not API_KEY.',
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
        description:
          'Takes effect at once: the next request is refused and open streams close. Runs that the key started continue.',
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
