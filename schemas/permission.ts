import { type Static, Type } from '@sinclair/typebox';
import { PageQuery, RunId, TicketId, Time } from './common.ts';
import { PermissionDecision, PermissionQuestion } from './event.ts';
import { Action } from './run.ts';

const PermissionId = Type.String({ ...RunId, description: 'UUIDv7; ids sort by time.' });

export const PermissionParams = Type.Object(
  { run_id: RunId, permission_id: PermissionId },
  { additionalProperties: false },
);

/** Something that an agent may do only when a person says so. */
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
  { $id: 'Permission' },
);
export type Permission = Static<typeof Permission>;

export const PermissionList = Type.Object(
  { items: Type.Array(Permission), next_cursor: Type.Union([Type.String(), Type.Null()]) },
  { $id: 'PermissionList' },
);

export const PermissionQuery = Type.Object(PageQuery, { additionalProperties: false });

export const AnswerPermission = Type.Object(
  { decision: PermissionDecision.properties.decision },
  { $id: 'AnswerPermission', additionalProperties: false },
);
