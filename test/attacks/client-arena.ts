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
  /** Port of a service on loopback that nobody has reason to talk to. */
  evilPort: number;
  /** How many connections it had. */
  visits(): number;
  /** A ticket of the repository, made when it is not there; another one is on a repository of its own. */
  ticket(id: string, repository?: string): Promise<void>;
  /** Headers of somebody with a new key. */
  holder(request: Omit<CreateKey, 'name'>): Promise<{ key: string; key_id: string; headers: Record<string, string> }>;
  /** Status of a request. */
  status(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<number>;
  /** Opens a connection and sends something. */
  open(sent: string): Promise<Socket>;
  /** Sends something and gives all that comes until the end of the connection. */
  raw(sent: string): Promise<string>;
};

const TAKE_AWAY = new URL('take-away.ts', import.meta.url).href;

/** Arguments and environment of a Node process that lacks some of its defences. */
export function lacking({ nodeArgs = [], edits = [] }: Conditions) {
  const env: Record<string, string> = edits.length === 0 ? {} : { TAKE_AWAY: JSON.stringify(edits) };
  return { nodeArgs: edits.length === 0 ? nodeArgs : ['--import', TAKE_AWAY, ...nodeArgs], env };
}

/** A service on loopback that counts who comes, and sends a git that asks it on to itself. */
export async function startEvil(t: Owner) {
  let visits = 0;
  const server = createServer((socket) => {
    visits += 1;
    socket.on('error', () => {});
    socket.once('data', (sent) => {
      const onward = /^GET \/redirect(\S*)/.exec(String(sent))?.[1];
      const head =
        onward === undefined ? '404 Not Found' : `302 Found\r\nlocation: http://127.0.0.1:${port}/evil${onward}`;
      socket.end(`HTTP/1.1 ${head}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`);
    });
  });
  const { url, close } = await listenOnLoopback(server);
  const port = Number(new URL(url).port);
  t.teardown(close);
  return { port, visits: () => visits };
}

/** Names of folders, one for each server. */
let servers = 0;

/** Starts the real server as a user, under conditions, with an attacker's service on loopback beside it. */
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
  const evil = await startEvil(t);
  const edits = conditions.flatMap((condition) => condition.edits ?? []);
  const nodeArgs = conditions.flatMap((condition) => condition.nodeArgs ?? []);
  const { env, nodeArgs: args } = lacking({ edits, nodeArgs });
  const settings = Object.assign({}, ...conditions.map((condition) => condition.settings?.(evil.port) ?? {}));
  const server = await startServerAs(
    t,
    world,
    user,
    {
      API_KEY: ADMIN_KEY,
      // Of the door's limits, those that an attack is about are lowered by it.
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
    evilPort: evil.port,
    visits: evil.visits,
    async ticket(id, repository) {
      const repo_url = repository === undefined ? REPO : `https://github.com/${repository}`;
      if (repository !== undefined) await world.github.addRepository(repository).catch(() => {});
      const { status } = await call(server, 'POST', '/v1/tickets', { ticket_id: id, repo_url }, asAdmin);
      if (status > 201) throw new Error(`the ticket was not made: ${status}`);
    },
    holder: (request) => makeKey(server, request),
    status: async (method, path, body, headers) => (await call(server, method, path, body, headers)).status,
    open,
    raw: async (sent) => text(await open(sent)),
  };
}
