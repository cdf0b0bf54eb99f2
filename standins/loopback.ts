import { once } from 'node:events';
import type { Server } from 'node:http';

/** Starts a server on a free loopback port, and returns its URL. */
export async function listenOnPort(server: Server): Promise<string> {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('The server does not listen on a port.');
  return `http://127.0.0.1:${address.port}`;
}

/** Starts a server on a Unix socket. */
export async function listenOnSocket(server: Server, path: string): Promise<void> {
  await once(server.listen(path), 'listening');
}

/** Closes a server and its connections. */
export async function closeServer(server: Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
}
