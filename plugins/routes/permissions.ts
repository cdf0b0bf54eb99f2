import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import {
  AnswerPermission,
  Permission,
  PermissionList,
  PermissionParams,
  PermissionQuery,
} from '../../schemas/permission.ts';

export const permissionRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { permissions, problemResponse } = app;
  const tags = ['permissions'];

  app.get(
    '/v1/permissions',
    {
      config: { scope: ['read'] },
      schema: {
        operationId: 'listPermissions',
        summary: 'List what agents wait for a person to allow, oldest first',
        description: 'Open permissions of all tickets; which kinds of tool calls are asked about, ASK_PERMISSION says.',
        tags,
        querystring: PermissionQuery,
        response: { 200: PermissionList, default: problemResponse },
      },
    },
    async (request) => permissions.list({ ...request.query, repositories: request.caller.repositories }),
  );

  app.post(
    '/v1/runs/:run_id/permissions/:permission_id',
    {
      config: { scope: ['dev'] },
      schema: {
        operationId: 'answerPermission',
        summary: 'Allow or reject what an agent asks for',
        description:
          'Allows this one call, or rejects it; the agent goes on either way. Without an answer it is rejected at the deadline.',
        tags,
        params: PermissionParams,
        body: AnswerPermission,
        response: { 200: Permission, default: problemResponse },
      },
    },
    async (request) => {
      const { run_id, permission_id } = request.params;
      const { decision } = request.body;
      const answered = await permissions.answer({
        runId: run_id,
        permissionId: permission_id,
        decision,
        by: request.caller.id,
      });
      request.audit({ ticket_id: answered.ticket_id });
      return answered;
    },
  );
};
