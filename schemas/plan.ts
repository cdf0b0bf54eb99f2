import { type Static, Type } from '@sinclair/typebox';
import { Time } from './common.ts';

export const Plan = Type.Object(
  {
    version: Type.Integer({ minimum: 1 }),
    body: Type.String({ description: 'Markdown.' }),
    author: Type.Union([Type.Literal('agent'), Type.Literal('person')]),
    approved_at: Type.Optional(Time),
    created_at: Time,
  },
  { $id: 'Plan' },
);
export type Plan = Static<typeof Plan>;

export const PlanQuery = Type.Object(
  { version: Type.Optional(Type.Integer({ minimum: 1 })) },
  { additionalProperties: false },
);

export const PutPlan = Type.Object(
  { body: Type.String({ minLength: 1, maxLength: 262_144 }) },
  { $id: 'PutPlan', additionalProperties: false },
);

export const ApprovePlan = Type.Object(
  { version: Type.Integer({ minimum: 1 }) },
  { $id: 'ApprovePlan', additionalProperties: false },
);
