import { type Static, Type } from '@sinclair/typebox';
import { PageQuery, RunId, TicketId, Time } from './common.ts';
import { PermissionDecision, PermissionQuestion } from './event.ts';
import { Action } from './run.ts';

const PermissionId = Type.String({ ...RunId, description: 'UUIDv7; ids sort by time.' });

export const PermissionParams = Type.Object(
  { run_id: RunId, permission_id: PermissionId },
  { additionalProperties: false },
);

const example = {
  permission_id: '019a9f3c-8d2b-7c55-8e1f-1d5f3a0b2c3d',
  run_id: '019a9f3c-7c1a-7b44-9d0e-0c4e2f9a1b2c',
  ticket_id: 'REL-123',
  action: 'dev',
  asked_at: '2026-11-22T10:06:00.000Z',
  deadline: '2026-11-22T10:11:00.000Z',
  tool_call_id: 'run_shell_command-1',
  title: 'npm test',
  kind: 'execute',
  command: 'npm test',
};

/** A tool call that waits, or waited, for the answer of a person. */
export const Permission = Type.Object(
  {
    permission_id: PermissionId,
    run_id: RunId,
    ticket_id: TicketId,
    action: Action,
    asked_at: Time,
    deadline: Time,
    ...PermissionQuestion.properties,
    decision: Type.Optional(PermissionDecision.properties.decision),
    by: Type.Optional(PermissionDecision.properties.by),
    resolved_at: Type.Optional(Time),
  },
  {
    $id: 'Permission',
    examples: [{ ...example, decision: 'allow', by: '3f9a0c51d27e', resolved_at: '2026-11-22T10:07:00.000Z' }],
  },
);
export type Permission = Static<typeof Permission>;

export const PermissionList = Type.Object(
  { items: Type.Array(Permission), next_cursor: Type.Union([Type.String(), Type.Null()]) },
  { $id: 'PermissionList', examples: [{ items: [example], next_cursor: null }] },
);

export const PermissionQuery = Type.Object(PageQuery, { additionalProperties: false });

export const AnswerPermission = Type.Object(
  { decision: PermissionDecision.properties.decision },
  { $id: 'AnswerPermission', additionalProperties: false, examples: [{ decision: 'allow' }] },
);
