import type { Server } from 'node:http';
import { closeServer, listenOnPort } from '../../standins/loopback.ts';
import type { Owner } from './server.ts';

/** Starts a server, returns its URL, and closes it after the test. */
export async function listen(t: Owner, server: Server): Promise<string> {
  const url = await listenOnPort(server);
  t.teardown(() => server.listening && closeServer(server));
  return url;
}
