import type { LookupAddress } from 'node:dns';
import { lookup as resolveName } from 'node:dns/promises';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, request, type Server } from 'node:http';
import { connect, type Socket } from 'node:net';
import { type Duplex, pipeline } from 'node:stream';
import { isPublicAddress } from './public-address.ts';

const PORTS: ReadonlySet<number> = new Set([80, 443]);
const MAX_CONNECTIONS = 128;
const CONNECT_TIMEOUT_MS = 30_000;
/** How many different refusals are reported. */
const MAX_DENIALS = 50;
const MAX_TARGET_CHARS = 200;

/** Headers of one connection, which a proxy does not pass on: https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1 */
const HOP_BY_HOP = [
  ...['connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection', 'te', 'trailer'],
  ...['transfer-encoding', 'upgrade'],
];

export type EgressOptions = {
  /** Lower-case host names; `*.example.org` stands for every name below example.org. */
  allow: readonly string[];
  /** Called with a sentence for each request that was refused; of many, the first. */
  onDenied?: ((text: string) => void) | undefined;
  /** All addresses of a name; that of the system when not given. */
  lookup?: (host: string) => Promise<readonly LookupAddress[]>;
  /** Connects to one of the addresses, and to nothing else. */
  dial?: (addresses: readonly LookupAddress[], port: number) => Socket;
};

type Target = { host: string; port: number };

/** A request that is not let out; the message says why. */
class Refusal extends Error {}

/**
 * An HTTP proxy (CONNECT, and plain requests with an absolute URL) that reaches the ports 80 and 443 of named hosts.
 * A name is resolved once: what was checked is what is connected to, so that no second answer can lead elsewhere.
 * https://www.rfc-editor.org/rfc/rfc9110#section-9.3.6
 * @returns the server, not yet listening
 */
export function createEgressProxy({ allow, onDenied, lookup = resolve, dial = connectTo }: EgressOptions): Server {
  const reported = new Set<string>();

  function deny(target: string, why: string): void {
    const text = `A connection to ${target.slice(0, MAX_TARGET_CHARS)} was refused: ${why}.`;
    if (reported.has(text) || reported.size > MAX_DENIALS) return;
    reported.add(text);
    onDenied?.(reported.size > MAX_DENIALS ? 'Further refused connections are not reported.' : text);
  }

  function isAllowed(host: string): boolean {
    return allow.some((name) => (name.startsWith('*.') ? host.endsWith(name.slice(1)) : host === name));
  }

  async function open({ host, port }: Target): Promise<Socket> {
    if (!isAllowed(host)) throw new Refusal('EGRESS_ALLOW does not name the host');
    if (!PORTS.has(port)) throw new Refusal('only the ports 80 and 443 may be reached');
    const addresses = await lookup(host).catch(() => []);
    if (addresses.length === 0) throw new Refusal('the name was not found');
    if (!addresses.every(({ address }) => isPublicAddress(address))) {
      throw new Refusal('the name leads to an address that is not public');
    }
    const socket = dial(addresses, port);
    try {
      await once(socket, 'connect', { signal: AbortSignal.timeout(CONNECT_TIMEOUT_MS) });
    } catch {
      socket.destroy();
      throw new Refusal('the host did not answer');
    }
    // Whatever comes next has a listener of its own before anything can happen.
    socket.on('error', () => {});
    return socket;
  }

  /** @throws Refusal, which has been reported */
  async function admit(url: string, parse: (url: string) => Target): Promise<Socket> {
    try {
      return await open(parse(url));
    } catch (error) {
      if (error instanceof Refusal) deny(displayTarget(url), error.message);
      throw error;
    }
  }

  const server = createServer(async (incoming, response) => {
    try {
      const socket = await admit(incoming.url ?? '', plainTarget);
      const url = new URL(incoming.url ?? '');
      const outgoing = request({
        createConnection: () => socket,
        method: incoming.method,
        path: url.pathname + url.search,
        headers: { ...endToEnd(incoming.headers), host: url.host, connection: 'close' },
      });
      outgoing.on('response', (answer: IncomingMessage) => {
        response.writeHead(answer.statusCode ?? 502, endToEnd(answer.headers));
        pipeline(answer, response, () => {});
      });
      outgoing.on('error', () => response.destroy());
      response.on('close', () => outgoing.destroy());
      incoming.pipe(outgoing);
    } catch (error) {
      response.writeHead(403, { 'content-type': 'text/plain', connection: 'close' });
      response.end(`${refusalText(error)}\n`);
      incoming.resume();
    }
  });

  server.on('connect', async (incoming: IncomingMessage, client: Duplex, head: Buffer) => {
    client.on('error', () => {});
    try {
      const socket = await admit(incoming.url ?? '', tunnelTarget);
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      socket.write(head);
      pipeline(client, socket, client, () => {});
    } catch (error) {
      const text = `${refusalText(error)}\n`;
      const headers = `content-type: text/plain\r\ncontent-length: ${text.length}\r\nconnection: close`;
      client.end(`HTTP/1.1 403 Forbidden\r\n${headers}\r\n\r\n${text}`);
    }
  });
  server.maxConnections = MAX_CONNECTIONS;
  return server;
}

/** Of a CONNECT: `host:port`. */
function tunnelTarget(authority: string): Target {
  if (!/^[^/?#@\s]+:\d+$/.test(authority)) throw new Refusal('it is not a host and a port');
  return target(`http://${authority}`);
}

/** Of a plain request: an absolute URL. */
function plainTarget(url: string): Target {
  if (!/^http:\/\//i.test(url)) throw new Refusal('it is not an absolute URL with http:');
  return target(url);
}

function target(url: string): Target {
  if (!URL.canParse(url)) throw new Refusal('it is not a valid address');
  // The parser also brings the many ways of writing an IPv4 address into the usual one.
  const { hostname, port, username, password } = new URL(url);
  if (username !== '' || password !== '') throw new Refusal('it names a user');
  return { host: hostname.replace(/^\[|\]$/g, '').replace(/\.$/, ''), port: Number(port || 80) };
}

/** The host and port of an address, without what else it may tell. */
function displayTarget(url: string): string {
  const { host } = URL.canParse(url) ? new URL(url) : { host: '' };
  return (host || url).replace(/[^\x21-\x7e]/g, '?');
}

function endToEnd(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const named = (headers.connection ?? '').split(',').map((name) => name.trim().toLowerCase());
  const removed = new Set([...HOP_BY_HOP, ...named]);
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !removed.has(name)));
}

function refusalText(error: unknown): string {
  return error instanceof Refusal ? `Refused: ${error.message}.` : 'The proxy failed.';
}

function resolve(host: string): Promise<LookupAddress[]> {
  return resolveName(host, { all: true });
}

function connectTo(addresses: readonly LookupAddress[], port: number): Socket {
  return connect({
    host: 'checked',
    port,
    autoSelectFamily: true,
    lookup: (_host, options, done) => {
      const [first] = addresses;
      if (options.all) done(null, [...addresses]);
      else done(null, first?.address ?? '', first?.family);
    },
  });
}
