import { type Static, Type } from '@sinclair/typebox';

export const Status = Type.Object(
  { status: Type.Literal('ok'), name: Type.String(), version: Type.String() },
  { $id: 'Status', examples: [{ status: 'ok', name: 'pullwright', version: '0.1.0' }] },
);
export const Live = Type.Object({ status: Type.Literal('ok') }, { $id: 'Live', examples: [{ status: 'ok' }] });
export const Ready = Type.Object(
  {
    status: Type.Union([Type.Literal('ok'), Type.Literal('unavailable')]),
    checks: Type.Array(Type.Object({ name: Type.String(), ok: Type.Boolean(), detail: Type.Optional(Type.String()) })),
  },
  {
    $id: 'Ready',
    examples: [
      {
        status: 'ok',
        checks: [
          { name: 'store', ok: true },
          { name: 'sandbox', ok: true },
          { name: 'agent', ok: true },
        ],
      },
    ],
  },
);
/** Example of `Ready` for an unavailable server. */
export const notReady = {
  status: 'unavailable',
  checks: [
    { name: 'store', ok: true },
    { name: 'sandbox', ok: true },
    { name: 'agent', ok: false, detail: 'The default agent is not available; see GET /v1/agents.' },
  ],
};
export type Ready = Static<typeof Ready>;
