import { type Static, Type } from '@sinclair/typebox';

/** `application/problem+json` (RFC 9457): every error of the server. */
export const Problem = Type.Object(
  {
    type: Type.String({
      description: 'URN of the kind of problem.',
      examples: ['urn:pullwright:problem:ticket_not_found'],
    }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String(),
    code: Type.String({ description: 'Stable and machine-readable.', examples: ['ticket_not_found'] }),
    remedy: Type.Optional(Type.String({ description: 'What mends it.' })),
    errors: Type.Optional(
      Type.Array(
        Type.Object({
          path: Type.String({ description: 'JSON Pointer (RFC 6901) to the offending value.' }),
          message: Type.String(),
        }),
      ),
    ),
  },
  { $id: 'Problem' },
);
export type Problem = Static<typeof Problem>;
