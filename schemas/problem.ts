import { type Static, Type } from '@sinclair/typebox';

/** Every error of the server, as `application/problem+json` (RFC 9457). */
export const Problem = Type.Object(
  {
    type: Type.String({
      description: 'URN of the type of problem.',
      examples: ['urn:pullwright:problem:ticket_not_found'],
    }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String(),
    code: Type.String({ description: 'Stable and machine-readable.', examples: ['ticket_not_found'] }),
    remedy: Type.Optional(Type.String({ description: 'How to fix the problem.' })),
    errors: Type.Optional(
      Type.Array(
        Type.Object({
          path: Type.String({ description: 'JSON Pointer (RFC 6901) to the invalid value.' }),
          message: Type.String(),
        }),
      ),
    ),
  },
  { $id: 'Problem' },
);
export type Problem = Static<typeof Problem>;
