import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import type { Server } from './server.ts';

export type RawAnswer = { status: number; headers: Headers; body: string };

/** Opens a connection to a server and sends raw bytes. */
export async function openRaw(server: Pick<Server, 'url'>, sent: string): Promise<Socket> {
  const { hostname, port } = new URL(server.url);
  const socket = connect(Number(port), hostname);
  await once(socket, 'connect');
  socket.write(sent, 'latin1');
  return socket;
}

/** Sends raw bytes and returns the final response. The server must close the connection. */
export async function sendRaw(server: Pick<Server, 'url'>, sent: string): Promise<RawAnswer> {
  const received = await text(await openRaw(server, sent));
  const [head = '', body = ''] = received.replace(/^HTTP\/1\.1 100 Continue\r\n\r\n/, '').split('\r\n\r\n');
  const [first = '', ...lines] = head.split('\r\n');
  const headers = new Headers(
    lines.map((line): [string, string] => [line.split(':')[0] ?? '', line.replace(/^[^:]*:/, '')]),
  );
  return { status: Number(first.split(' ')[1]), headers, body };
}
