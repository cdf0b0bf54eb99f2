import { type Static, Type } from '@sinclair/typebox';
import { Time } from './common.ts';

const BODY = '# Round half up\n\n1. In `src/money.ts`, round with `Math.round`.\n2. Add a test for 0.5.\n';

export const Plan = Type.Object(
  {
    version: Type.Integer({ minimum: 1 }),
    body: Type.String({ description: 'Markdown.' }),
    author: Type.Union([Type.Literal('agent'), Type.Literal('person')]),
    approved_at: Type.Optional(Time),
    created_at: Time,
  },
  {
    $id: 'Plan',
    examples: [{ version: 1, body: BODY, author: 'agent', created_at: '2026-11-22T10:03:00.000Z' }],
  },
);
export type Plan = Static<typeof Plan>;

export const PlanQuery = Type.Object(
  { version: Type.Optional(Type.Integer({ minimum: 1 })) },
  { additionalProperties: false },
);

export const PutPlan = Type.Object(
  { body: Type.String({ minLength: 1, maxLength: 262_144 }) },
  { $id: 'PutPlan', additionalProperties: false, examples: [{ body: BODY }] },
);

/** The route checks the text. */
export const PutPlanHeaders = Type.Object({
  'if-match': Type.Optional(Type.String({ description: '`ETag` of the edited plan; required.', examples: ['"1"'] })),
});

export const ApprovePlan = Type.Object(
  { version: Type.Integer({ minimum: 1 }) },
  { $id: 'ApprovePlan', additionalProperties: false, examples: [{ version: 1 }] },
);
