import { parseArgs } from 'node:util';
import { FormatRegistry, Type } from '@sinclair/typebox';
import { type Key, KeyCreated, KeyList } from '../../schemas/key.ts';
import { callServer, type ServerAccess } from './call-server.ts';
import { CommandError } from './command-error.ts';

FormatRegistry.Set('date-time', (value) => !Number.isNaN(Date.parse(value)));

/**
 * `pullwright keys create|list|revoke`.
 * @returns the lines to print
 * @throws CommandError for a wrong usage, and for what the server refuses
 */
export async function keysCommand([command, ...args]: string[], server: ServerAccess): Promise<string[]> {
  if (command === 'create') return create(args, server);
  if (command === 'list') return list(args, server);
  if (command === 'revoke') return revoke(args, server);
  throw new CommandError(command === undefined ? 'keys needs a command.' : `There is no command keys ${command}.`, 2);
}

async function create(args: string[], server: ServerAccess): Promise<string[]> {
  const { values } = parse(() =>
    parseArgs({
      args,
      options: {
        name: { type: 'string' },
        scope: { type: 'string', multiple: true, default: [] },
        repository: { type: 'string', multiple: true },
        expires: { type: 'string' },
      },
    }),
  );
  if (values.name === undefined || values.scope.length === 0)
    throw new CommandError('A key needs --name and --scope.', 2);
  const body = {
    name: values.name,
    scopes: values.scope.flatMap((scope) => scope.split(',')),
    ...(values.repository === undefined ? {} : { repositories: values.repository }),
    ...(values.expires === undefined ? {} : { expires_at: inDays(values.expires) }),
  };
  const created = await callServer(server, { method: 'POST', path: '/v1/keys', body }, KeyCreated);
  return [created.key];
}

async function list(args: string[], server: ServerAccess): Promise<string[]> {
  parse(() => parseArgs({ args, options: {} }));
  const lines = [['KEY_ID', 'STATE', 'SCOPES', 'REPOSITORIES', 'LAST_USED', 'NAME']];
  let cursor: string | null = null;
  do {
    const query: string = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    const page = await callServer(server, { method: 'GET', path: `/v1/keys?limit=100${query}` }, KeyList);
    lines.push(...page.items.map(columns));
    cursor = page.next_cursor;
  } while (cursor !== null);
  return lines.map((line) => line.join('\t'));
}

async function revoke(args: string[], server: ServerAccess): Promise<string[]> {
  const { positionals } = parse(() => parseArgs({ args, options: {}, allowPositionals: true }));
  const [keyId, ...more] = positionals;
  if (keyId === undefined || more.length > 0) throw new CommandError('keys revoke needs one key id.', 2);
  await callServer(server, { method: 'DELETE', path: `/v1/keys/${encodeURIComponent(keyId)}` }, Type.Null());
  return [];
}

function columns(key: Key): string[] {
  return [
    key.key_id,
    state(key),
    key.scopes.join(','),
    key.repositories?.join(',') ?? 'all',
    key.last_used_at ?? 'never',
    // A name is free text: it must not begin another line or column, or steer the terminal.
    key.name.replace(/\p{Cc}+/gu, ' '),
  ];
}

function state({ revoked_at, expires_at }: Key): string {
  if (revoked_at !== undefined) return 'revoked';
  if (expires_at === undefined) return 'valid';
  return Date.parse(expires_at) <= Date.now() ? 'expired' : `until ${expires_at}`;
}

function inDays(text: string): string {
  const days = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (days === 0) throw new CommandError('--expires takes a number of days.', 2);
  return new Date(Date.now() + days * 86_400_000).toISOString();
}

function parse<Result>(read: () => Result): Result {
  try {
    return read();
  } catch (error) {
    throw new CommandError(error instanceof Error ? error.message : String(error), 2);
  }
}
