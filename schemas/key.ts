import { type Static, Type } from '@sinclair/typebox';
import { PageQuery, Time } from './common.ts';

/** A permission of a key. */
export const Scope = Type.Union(
  (['read', 'chat', 'plan', 'dev', 'metrics', 'admin'] as const).map((scope) => Type.Literal(scope)),
  {
    description:
      '`chat`, `plan` and `dev` each include `read`, but not each other. `metrics` only covers `/metrics`. `admin` includes all scopes.',
  },
);
export type Scope = Static<typeof Scope>;

export const KeyId = Type.String({ pattern: '^[0-9a-f]{12}$', examples: ['3f9a0c51d27e'] });
export const KeyParams = Type.Object({ key_id: KeyId }, { additionalProperties: false });

const Repositories = Type.Array(
  Type.String({
    maxLength: 300,
    pattern: '^(?:[A-Za-z0-9.-]{1,253}/)?[A-Za-z0-9_][A-Za-z0-9._-]{0,99}/(?:\\*|[A-Za-z0-9._][A-Za-z0-9._-]{0,99})$',
  }),
  {
    minItems: 1,
    maxItems: 100,
    description:
      'Repositories that the key is limited to: `OWNER/REPO` or `OWNER/*`, without regard to case. A host other than the first of ALLOWED_REPO_HOSTS precedes the owner.',
    examples: [['acme/widgets', 'git.example.org/tools/*']],
  },
);

export const CreateKey = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 100, description: 'Purpose or owner of the key.' }),
    scopes: Type.Array(Scope, { minItems: 1, uniqueItems: true }),
    repositories: Type.Optional(Repositories),
    expires_at: Type.Optional(Time),
  },
  {
    $id: 'CreateKey',
    additionalProperties: false,
    examples: [{ name: 'ci', scopes: ['dev'], repositories: ['acme/*'], expires_at: '2027-02-20T00:00:00.000Z' }],
  },
);
export type CreateKey = Static<typeof CreateKey>;

const fields = {
  key_id: KeyId,
  name: Type.String(),
  scopes: Type.Array(Scope),
  repositories: Type.Optional(Type.Array(Type.String(), { description: '`HOST/OWNER/REPO` or `HOST/OWNER/*`.' })),
  created_at: Time,
  expires_at: Type.Optional(Time),
  last_used_at: Type.Optional({ ...Time, description: 'Accurate to the minute.' }),
  revoked_at: Type.Optional(Time),
};

const example = {
  key_id: '3f9a0c51d27e',
  name: 'ci',
  scopes: ['dev'],
  repositories: ['github.com/acme/*'],
  created_at: '2026-11-22T10:00:00.000Z',
  expires_at: '2027-02-20T00:00:00.000Z',
};

export const Key = Type.Object(fields, { $id: 'Key' });
export type Key = Static<typeof Key>;

export const KeyCreated = Type.Object(
  { ...fields, key: Type.String({ description: 'The key, `pw_<id>_<secret>`. No other answer contains it.' }) },
  { $id: 'KeyCreated', examples: [{ ...example, key: 'pw_3f9a0c51d27e_SECRET' }] },
);
export type KeyCreated = Static<typeof KeyCreated>;

export const KeyList = Type.Object(
  { items: Type.Array(Key), next_cursor: Type.Union([Type.String(), Type.Null()]) },
  {
    $id: 'KeyList',
    examples: [{ items: [{ ...example, last_used_at: '2026-11-22T10:05:00.000Z' }], next_cursor: null }],
  },
);

export const KeyQuery = Type.Object(PageQuery, { additionalProperties: false });
