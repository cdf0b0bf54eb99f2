import { type Static, Type } from '@sinclair/typebox';
import { PageQuery, Time } from './common.ts';

/** One request that changed something, or was refused. */
export const AuditEntry = Type.Object({
  seq: Type.Integer({ minimum: 1 }),
  time: Time,
  actor: Type.String({
    description:
      'Id of the key; `environment` for API_KEY, `loopback` on a server that requires no key, `anonymous` without a valid key.',
  }),
  address: Type.String({ description: 'Address of the client.' }),
  method: Type.String(),
  operation: Type.String({ description: '`operationId` of the route.' }),
  ticket_id: Type.Optional(Type.String()),
  run_id: Type.Optional(Type.String()),
  key_id: Type.Optional(Type.String({ description: 'Key that was created or revoked.' })),
  status: Type.Integer(),
  code: Type.Optional(Type.String({ description: 'Code of the problem in the answer.' })),
});
export type AuditEntry = Static<typeof AuditEntry>;

export const AuditPage = Type.Object(
  { items: Type.Array(AuditEntry), next_cursor: Type.Union([Type.String(), Type.Null()]) },
  {
    $id: 'AuditPage',
    examples: [
      {
        items: [
          {
            seq: 41,
            time: '2026-11-22T10:05:00.000Z',
            actor: '3f9a0c51d27e',
            address: '192.0.2.7',
            method: 'POST',
            operation: 'createRun',
            ticket_id: 'REL-123',
            run_id: '019a9f3c-7c1a-7b44-9d0e-0c4e2f9a1b2c',
            status: 202,
          },
        ],
        next_cursor: null,
      },
    ],
  },
);

export const AuditQuery = Type.Object(PageQuery, { additionalProperties: false });
