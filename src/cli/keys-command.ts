import { type Command, InvalidArgumentError } from 'commander';
import { type Schemas, unwrap } from '../../client/client.ts';
import { positive } from './arguments.ts';
import { command, given, paginate, printList, report, withServer } from './commands.ts';

type Key = Schemas['Key'];
type Scope = Key['scopes'][number];

const SCOPES = ['read', 'chat', 'plan', 'dev', 'metrics', 'admin'] as const satisfies Scope[];
const DAY_MS = 86_400_000;

/** Adds `pullwright keys create|list|revoke`. */
export function addKeysCommands(program: Command): void {
  const keys = program.command('keys').summary('create, list and revoke API keys');

  command(keys, 'create', 'create a key and print it; it is not shown again')
    .requiredOption('--name <name>', 'purpose or owner of the key')
    .requiredOption('--scope <scope...>', SCOPES.join(', '), collectScopes)
    .option('--repository <owner/repo...>', 'limit the key to repositories; OWNER/* matches all of an owner', collect)
    .option('--expires <days>', 'days until the key expires', positive)
    .action(async (options) =>
      withServer(options, async ({ terminal, connection: { client }, json }) => {
        const { name, scope, repository: repositories, expires } = options;
        const expires_at = expires === undefined ? undefined : new Date(Date.now() + expires * DAY_MS).toISOString();
        const created = await unwrap(
          client.POST('/v1/keys', { body: { name, scopes: scope, ...given({ repositories, expires_at }) } }),
        );
        if (json) terminal.json(created);
        else terminal.print(created.key);
      }),
    );

  command(keys, 'list', 'list the keys').action(async (options) =>
    withServer(options, async (context) => {
      const { client } = context.connection;
      const all = paginate<Key>(Number.POSITIVE_INFINITY, (query) =>
        unwrap(client.GET('/v1/keys', { params: { query } })),
      );
      await printList(context, all, columns);
    }),
  );

  command(keys, 'revoke <key_id>', 'revoke a key at once').action(async (key_id: string, options) =>
    withServer(options, async (context) => {
      await unwrap(context.connection.client.DELETE('/v1/keys/{key_id}', { params: { path: { key_id } } }));
      report(context, { key_id, revoked: true }, `Revoked ${key_id}.`);
    }),
  );
}

function collect(value: string, before: string[] = []): string[] {
  return [...before, ...value.split(',')];
}

function collectScopes(value: string, before: Scope[] = []): Scope[] {
  const scopes = value.split(',').map((name) => {
    const scope = SCOPES.find((known) => known === name);
    if (scope === undefined) throw new InvalidArgumentError(`The scopes are ${SCOPES.join(', ')}.`);
    return scope;
  });
  return [...before, ...scopes];
}

function columns(key: Key): string[] {
  return [
    key.key_id,
    state(key),
    key.scopes.join(','),
    key.repositories?.join(',') ?? 'all',
    key.last_used_at ?? 'never',
    key.name,
  ];
}

function state({ revoked_at, expires_at }: Key): string {
  if (revoked_at !== undefined) return 'revoked';
  if (expires_at === undefined) return 'valid';
  return Date.parse(expires_at) <= Date.now() ? 'expired' : `until ${expires_at}`;
}
