import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import type { ListenOptions, Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Bytes of a socket path, unix(7). */
const MAX_SOCKET_PATH = 107;

/** A server of this process that sandboxes with this forward in their request can reach. */
export type SocketForward = {
  /** URL for the process inside, without a trailing slash. */
  url: string;
  /** Folder of the Unix socket `socket`, and the loopback port inside that forwards to it. */
  socket?: { folder: string; port: number };
  /** Closes the server and its connections. */
  close(): Promise<void>;
};

/**
 * Starts a server on a Unix socket, to which a loopback port inside forwards.
 * @param parent folder for the socket; a path too long for a socket goes to the temporary folder instead
 */
export async function createSocketForward(server: Server, port: number, parent: string): Promise<SocketForward> {
  await mkdir(parent, { recursive: true });
  const fits = Buffer.byteLength(join(parent, 'socket-XXXXXX/socket')) <= MAX_SOCKET_PATH;
  const folder = await mkdtemp(join(fits ? parent : tmpdir(), 'socket-'));
  const close = await listen(server, { path: join(folder, 'socket') });
  return {
    url: `http://127.0.0.1:${port}`,
    socket: { folder, port },
    async close() {
      await close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Starts a server on a free loopback port of the host. */
export async function listenOnLoopback(server: Server): Promise<SocketForward> {
  const close = await listen(server, { host: '127.0.0.1', port: 0 });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('The server does not listen on a port.');
  return { url: `http://127.0.0.1:${address.port}`, close };
}

async function listen(server: Server, where: ListenOptions): Promise<() => Promise<void>> {
  // An HTTP server does not track connections that it has upgraded to tunnels.
  const open = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  });
  await once(server.listen(where), 'listening');
  return async () => {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    for (const socket of open) socket.destroy();
    await closed;
  };
}
