import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { AuditPage, AuditQuery } from '../../schemas/audit.ts';
import type { AuditRow } from '../../src/store/audit.ts';

export const auditRoutes: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/v1/audit',
    {
      config: { scope: ['admin'] },
      schema: {
        operationId: 'listAudit',
        summary: 'Read the audit log, newest first',
        description:
          'Changes and refused requests with their caller, address and outcome. Entries are immutable; only RETAIN_AUDIT_DAYS deletes them.',
        tags: ['audit'],
        querystring: AuditQuery,
        response: { 200: AuditPage, default: app.problemResponse },
      },
    },
    async (request) => {
      const page = await app.store.audit.list(request.query);
      return { items: page.items.map(toEntry), next_cursor: page.nextCursor };
    },
  );
};

function toEntry({ ticket_id, run_id, key_id, code, ...entry }: AuditRow) {
  return {
    ...entry,
    ...(ticket_id === null ? {} : { ticket_id }),
    ...(run_id === null ? {} : { run_id }),
    ...(key_id === null ? {} : { key_id }),
    ...(code === null ? {} : { code }),
  };
}
