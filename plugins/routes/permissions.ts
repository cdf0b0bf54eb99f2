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
        summary: 'List open permissions, oldest first',
        description:
          'Open permissions of all tickets. ASK_PERMISSION sets the kinds of tool calls that need a permission.',
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
        summary: 'Allow or reject a tool call',
        description:
          'Allows or rejects this one call; the agent continues either way. At the deadline, the server rejects a call without an answer.',
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
