import { type Static, Type } from '@sinclair/typebox';
import { Time } from './common.ts';
import { Scope } from './key.ts';

/** The caller that is signed in to the dashboard, and its permissions. */
export const Session = Type.Object(
  {
    signed_in: Type.Boolean({ description: 'Also true on a server that requires no key.' }),
    key_id: Type.Optional(
      Type.String({
        description: 'Id of the key; `environment` for API_KEY, `loopback` on a server that requires no key.',
      }),
    ),
    name: Type.Optional(Type.String({ description: 'Name of the key.' })),
    scopes: Type.Array(Scope),
    repositories: Type.Optional(Type.Array(Type.String())),
    expires_at: Type.Optional(Time),
  },
  {
    $id: 'Session',
    examples: [
      {
        signed_in: true,
        key_id: '3f9a0c51d27e',
        name: 'Ada',
        scopes: ['plan', 'dev'],
        expires_at: '2026-11-29T10:00:00.000Z',
      },
    ],
  },
);
export type Session = Static<typeof Session>;
