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

export const PoolState = Type.Object(
  {
    working: Type.Integer({ description: 'In use by a run.' }),
    idle: Type.Integer({ description: 'Waiting for the next command of their ticket.' }),
    early: Type.Integer({ description: 'Prestarted for the `dev` of an approved plan.' }),
    spare: Type.Integer({ description: 'Waiting for new tickets.' }),
    memory_mb: Type.Integer({ description: 'Memory of all processes, in MiB.' }),
  },
  { description: 'Processes of agents.' },
);
export type PoolState = Static<typeof PoolState>;

export const AgentList = Type.Object(
  { items: Type.Array(AgentInfo), pool: PoolState },
  {
    $id: 'AgentList',
    examples: [
      {
        items: [
          {
            name: 'gemini',
            title: 'Gemini CLI',
            default: true,
            version: '0.61.0',
            healthy: true,
            sandbox: 'bubblewrap',
          },
        ],
        pool: { working: 1, idle: 2, early: 0, spare: 1, memory_mb: 612 },
      },
    ],
  },
);
