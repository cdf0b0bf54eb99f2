import { type Static, Type } from '@sinclair/typebox';

export const Status = Type.Object(
  { status: Type.Literal('ok'), name: Type.String(), version: Type.String() },
  { $id: 'Status' },
);
export const Live = Type.Object({ status: Type.Literal('ok') }, { $id: 'Live' });
export const Ready = Type.Object(
  {
    status: Type.Union([Type.Literal('ok'), Type.Literal('unavailable')]),
    checks: Type.Array(Type.Object({ name: Type.String(), ok: Type.Boolean(), detail: Type.Optional(Type.String()) })),
  },
  { $id: 'Ready' },
);
export type Ready = Static<typeof Ready>;
