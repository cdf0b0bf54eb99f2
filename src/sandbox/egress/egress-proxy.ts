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
/** Number of different refusals to report. */
const MAX_DENIALS = 50;
const MAX_TARGET_CHARS = 200;

/** Hop-by-hop headers, which a proxy removes: https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1 */
const HOP_BY_HOP = [
  ...['connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection', 'te', 'trailer'],
  ...['transfer-encoding', 'upgrade'],
];

export type EgressOptions = {
  /** Lower-case host names; `*.example.org` matches every name below example.org. */
  allow: readonly string[];
  /** Receives a sentence about each refused request, up to a limit. */
  onDenied?: ((text: string) => void) | undefined;
  /** Resolves all addresses of a name; default: the system's resolver. */
  lookup?: (host: string) => Promise<readonly LookupAddress[]>;
  /** Connects to one of the addresses. */
  dial?: (addresses: readonly LookupAddress[], port: number) => Socket;
};

type Target = { host: string; port: number };

/** A refused request; the message is the reason. */
class Refusal extends Error {}

/**
 * Creates an HTTP proxy (CONNECT, and requests with an absolute URL) for ports 80 and 443 of allowed hosts.
 * https://www.rfc-editor.org/rfc/rfc9110#section-9.3.6
 *
 * Resolves each name once and connects to the checked addresses, against DNS rebinding.
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
    if (!isAllowed(host)) throw new Refusal('EGRESS_ALLOW does not list the host');
    if (!PORTS.has(port)) throw new Refusal('only ports 80 and 443 are allowed');
    const addresses = await lookup(host).catch(() => []);
    if (addresses.length === 0) throw new Refusal('the name does not resolve');
    if (!addresses.every(({ address }) => isPublicAddress(address))) {
      throw new Refusal('the name resolves to an address that is not public');
    }
    const socket = dial(addresses, port);
    try {
      await once(socket, 'connect', { signal: AbortSignal.timeout(CONNECT_TIMEOUT_MS) });
    } catch {
      socket.destroy();
      throw new Refusal('the host did not answer');
    }
    // The callers add their own listeners before the next event.
    socket.on('error', () => {});
    return socket;
  }

  /** @throws Refusal, after reporting it */
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

/** Parses the target of a CONNECT, `host:port`. */
function tunnelTarget(authority: string): Target {
  if (!/^[^/?#@\s]+:\d+$/.test(authority)) throw new Refusal('the target is not host:port');
  return target(`http://${authority}`);
}

/** Parses the target of a plain request, an absolute URL. */
function plainTarget(url: string): Target {
  if (!/^http:\/\//i.test(url)) throw new Refusal('the target is not an absolute http: URL');
  return target(url);
}

function target(url: string): Target {
  if (!URL.canParse(url)) throw new Refusal('the target is not a valid address');
  // The parser also normalizes unusual notations of IPv4 addresses.
  const { hostname, port, username, password } = new URL(url);
  if (username !== '' || password !== '') throw new Refusal('the URL contains a user name');
  return { host: hostname.replace(/^\[|\]$/g, '').replace(/\.$/, ''), port: Number(port || 80) };
}

/** Returns the host and port of an address, without its path and query. */
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
