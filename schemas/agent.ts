import { type Static, Type } from '@sinclair/typebox';

export const AgentInfo = Type.Object({
  name: Type.String(),
  title: Type.String(),
  default: Type.Boolean(),
  version: Type.Optional(Type.String()),
  healthy: Type.Boolean(),
  detail: Type.Optional(Type.String({ description: 'Why it is not healthy.' })),
  remedy: Type.Optional(Type.String()),
  sandbox: Type.String({ description: '`bubblewrap` or `none`.' }),
});
export type AgentInfo = Static<typeof AgentInfo>;

export const AgentList = Type.Object({ items: Type.Array(AgentInfo) }, { $id: 'AgentList' });
