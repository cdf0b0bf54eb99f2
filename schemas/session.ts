import { type Static, Type } from '@sinclair/typebox';
import { Time } from './common.ts';
import { Scope } from './key.ts';

/** Who looks at the dashboard, and what that one may do. */
export const Session = Type.Object(
  {
    signed_in: Type.Boolean({ description: 'Also true where no key is needed.' }),
    key_id: Type.Optional(
      Type.String({ description: 'Id of the key; `environment` for API_KEY, `loopback` where no key is needed.' }),
    ),
    name: Type.Optional(Type.String({ description: 'Name of the key.' })),
    scopes: Type.Array(Scope),
    repositories: Type.Optional(Type.Array(Type.String())),
    expires_at: Type.Optional(Time),
  },
  { $id: 'Session' },
);
export type Session = Static<typeof Session>;
