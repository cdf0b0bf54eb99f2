import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { CreateKey } from '../../schemas/key.ts';
import { listenOnLoopback } from '../../src/sandbox/socket-forward.ts';
import { call } from '../helpers/client.ts';
import { ADMIN_KEY, asAdmin, makeKey } from '../helpers/keys.ts';
import { type Owner, REPO, type Server, type World } from '../helpers/server.ts';
import { chownTo, type ServerUser, startServerAs } from '../helpers/users.ts';
import type { Conditions } from './conditions.ts';

export type ClientArena = {
  world: World;
  server: Server;
  /** Folder of this server. */
  folder: string;
  /** Port of the attacker's server on loopback, which the server has no reason to contact. */
  attackerPort: number;
  /** Number of connections to the attacker's server. */
  visits(): number;
  /** Creates a ticket unless it exists. With `repository`, creates that repository, too. */
  ticket(id: string, repository?: string): Promise<void>;
  /** Creates a key; returns it with its headers. */
  newKey(request: Omit<CreateKey, 'name'>): Promise<{ key: string; key_id: string; headers: Record<string, string> }>;
  /** Sends a request; returns the status. */
  status(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<number>;
  /** Opens a connection and sends a text. */
  open(sent: string): Promise<Socket>;
  /** Sends a text; returns everything received until the connection closes. */
  raw(sent: string): Promise<string>;
};

const REMOVE_DEFENCES = new URL('remove-defences.ts', import.meta.url).href;

/** Returns arguments and environment of a Node process without some defences. */
export function withoutDefences({ nodeArgs = [], edits = [] }: Conditions) {
  const env: Record<string, string> = edits.length === 0 ? {} : { REMOVED_DEFENCES: JSON.stringify(edits) };
  return { nodeArgs: edits.length === 0 ? nodeArgs : ['--import', REMOVE_DEFENCES, ...nodeArgs], env };
}

/** Starts the attacker's server on loopback. It counts connections, and redirects git to itself. */
export async function startAttacker(t: Owner) {
  let visits = 0;
  const server = createServer((socket) => {
    visits += 1;
    socket.on('error', () => {});
    socket.once('data', (sent) => {
      const path = /^GET \/redirect(\S*)/.exec(String(sent))?.[1];
      const head = path === undefined ? '404 Not Found' : `302 Found\r\nlocation: http://127.0.0.1:${port}/evil${path}`;
      socket.end(`HTTP/1.1 ${head}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`);
    });
  });
  const { url, close } = await listenOnLoopback(server);
  const port = Number(new URL(url).port);
  t.teardown(close);
  return { port, visits: () => visits };
}

/** Number of servers so far, which names their folders. */
let servers = 0;

/** Starts the real server as a user under conditions, and the attacker's server on loopback. */
export async function enterArena(
  t: Owner,
  world: World,
  conditions: readonly Conditions[],
  user: ServerUser,
): Promise<ClientArena> {
  servers += 1;
  const folder = join(world.dir, `server-${servers}`);
  const folders = { DATA_DIR: join(folder, 'data'), TICKETS_ROOT: join(folder, 'tickets') };
  for (const each of Object.values(folders)) await mkdir(each, { recursive: true });
  chownTo(user, folder);
  const attacker = await startAttacker(t);
  const edits = conditions.flatMap((condition) => condition.edits ?? []);
  const nodeArgs = conditions.flatMap((condition) => condition.nodeArgs ?? []);
  const { env, nodeArgs: args } = withoutDefences({ edits, nodeArgs });
  const settings = Object.assign({}, ...conditions.map((condition) => condition.settings?.(attacker.port) ?? {}));
  const server = await startServerAs(
    t,
    world,
    user,
    {
      API_KEY: ADMIN_KEY,
      // An attack on a rate limit lowers it.
      AUTH_FAILURES_PER_MINUTE: '100000',
      RATE_LIMIT_PER_MINUTE: '100000',
      KEY_RATE_LIMIT_PER_MINUTE: '100000',
      ...folders,
      ...env,
      ...settings,
    },
    args,
  );
  const port = Number(new URL(server.url).port);
  const open = async (sent: string) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    await once(socket, 'connect');
    socket.write(sent);
    return socket;
  };
  return {
    world,
    server,
    folder,
    attackerPort: attacker.port,
    visits: attacker.visits,
    async ticket(id, repository) {
      const repo_url = repository === undefined ? REPO : `https://github.com/${repository}`;
      if (repository !== undefined) await world.github.addRepository(repository).catch(() => {});
      const { status } = await call(server, 'POST', '/v1/tickets', { ticket_id: id, repo_url }, asAdmin);
      if (status > 201) throw new Error(`no ticket was created: ${status}`);
    },
    newKey: (request) => makeKey(server, request),
    status: async (method, path, body, headers) => (await call(server, method, path, body, headers)).status,
    open,
    raw: async (sent) => text(await open(sent)),
  };
}
