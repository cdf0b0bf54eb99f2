import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { asAdmin } from '../helpers/keys.ts';
import type { ClientArena } from './client-arena.ts';
import type { ClientAttack } from './client-attack.ts';
import type { Conditions } from './conditions.ts';
import type { Edit } from './remove-defences.ts';

const APP = 'src/app.ts';
const AUTH = 'plugins/hooks/auth.ts';
const LIMITS = 'plugins/hooks/request-limits.ts';
const JSON_ONLY = "addContentTypeParser<string>('application/json',";
const ATTACKER = 'https://evil.example';

/** No request needs a key, as on a machine where the server was just installed. */
const OPEN: Conditions = { settings: () => ({ API_KEY: '' }) };

export const CHECK_INTERVAL_MS = 100;

/** Scales the timeouts of the server down. A client that is still connected after all of them has succeeded. */
const SCALED: Edit = {
  file: APP,
  from: '{ request: 30_000, headers: 15_000, idle: 75_000, checkInterval: 5_000 }',
  to: `{ request: 1_000, headers: 500, idle: 500, checkInterval: ${CHECK_INTERVAL_MS} }`,
};
export const SHORT_TIMEOUTS: Conditions = { edits: [SCALED] };
const MAX_OPEN_MS = 8_000;
const GET = 'GET /livez HTTP/1.1\r\nhost: localhost\r\n';
const POST = `POST /v1/tickets HTTP/1.1\r\nhost: localhost\r\nx-api-key: ${asAdmin['x-api-key']}\r\ncontent-type: application/json\r\n`;

const without = (...edits: Edit[]): Conditions => ({ edits });
const ANY_ORIGIN: Edit = { file: AUTH, from: 'if (reads(request) ||', to: 'if (true ||' };
const NEVER_HEADERS: Edit = { file: APP, from: 'headersTimeout: TIMEOUTS.headers', to: 'headersTimeout: 0' };
const NEVER_REQUEST: Edit = { file: APP, from: 'requestTimeout: TIMEOUTS.request', to: 'requestTimeout: 0' };

/** Sends a byte at intervals; returns whether the connection is still open after all timeouts. */
async function staysOpen({ open }: ClientArena, sent: string, byte = ''): Promise<boolean> {
  const socket: Socket = await open(sent);
  socket.resume();
  const timer = setInterval(() => socket.writable && socket.write(byte), CHECK_INTERVAL_MS);
  const closed = once(socket, 'close').then(() => false);
  const isOpen = await Promise.race([closed, pause(MAX_OPEN_MS, true, { ref: false })]);
  clearInterval(timer);
  socket.destroy();
  return isOpen;
}

/** Sends a request as a page in a browser. */
async function fromPage({ server }: ClientArena, method: string, headers: Record<string, string>, body?: string) {
  return fetch(new URL('/v1/tickets', server.url), {
    method,
    headers: { origin: ATTACKER, ...headers },
    body: body ?? null,
  });
}

/** Sends a request with any `Host`, which `fetch` cannot. */
const withHost = ({ raw }: ClientArena, headers: string) =>
  raw(`GET /v1/tickets HTTP/1.1\r\n${headers}\r\nconnection: close\r\n\r\n`);

const BROWSER: readonly ClientAttack[] = [
  {
    name: 'a page reads tickets by DNS rebinding',
    by: "sends a request with the page's host name, which resolves to loopback",
    given: OPEN,
    harm: async (arena) => (await withHost(arena, 'host: evil.example')).startsWith('HTTP/1.1 200'),
    without: { settings: () => ({ ALLOWED_HOSTS: 'evil.example' }) },
  },
  {
    name: 'a page reads tickets by DNS rebinding with a forwarded host',
    by: 'sends the same request with `X-Forwarded-Host: localhost`',
    given: OPEN,
    harm: async (arena) =>
      (await withHost(arena, 'host: evil.example\r\nx-forwarded-host: localhost')).startsWith('HTTP/1.1 200'),
    without: {
      settings: () => ({ TRUST_PROXY: '127.0.0.1' }),
      edits: [{ file: 'plugins/hooks/host-check.ts', from: "request.headers.host ?? ''", to: 'request.host' }],
    },
  },
  {
    name: 'a page of another origin reads tickets',
    by: 'sends a request from a browser and reads the answer',
    given: OPEN,
    harm: async (arena) => (await fromPage(arena, 'GET', {})).headers.get('access-control-allow-origin') === ATTACKER,
    without: { settings: () => ({ CORS_ORIGINS: ATTACKER }) },
  },
  {
    name: 'a page of another origin passes the preflight for a write',
    by: 'sends a preflight for `POST` with JSON',
    given: OPEN,
    async harm(arena) {
      const preflight = { 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' };
      return (await fromPage(arena, 'OPTIONS', preflight)).headers.has('access-control-allow-origin');
    },
    without: { settings: () => ({ CORS_ORIGINS: ATTACKER }) },
  },
  {
    name: 'a page of another origin takes a backup',
    by: 'sends a `POST` without a body, which needs no preflight',
    given: OPEN,
    harm: async ({ status }) => (await status('POST', '/v1/backup', undefined, { origin: ATTACKER })) === 200,
    without: { settings: () => ({ CORS_ORIGINS: ATTACKER }) },
  },
  {
    name: 'a page on another port of this machine starts the housekeeping',
    by: 'sends a `POST` without a body and without `Origin`',
    given: OPEN,
    harm: async ({ status }) =>
      (await status('POST', '/v1/housekeeping', undefined, { 'sec-fetch-site': 'same-site' })) < 300,
    without: without(ANY_ORIGIN),
  },
  {
    name: 'a page creates a ticket with JSON as text',
    by: 'sends a `POST` with `text/plain`, which needs no preflight',
    given: OPEN,
    harm: (arena) => canCreateTicket(arena, 'text/plain', 'B-1'),
    without: without(ANY_ORIGIN, {
      file: LIMITS,
      from: JSON_ONLY,
      to: "addContentTypeParser<string>(['application/json', 'text/plain'],",
    }),
  },
  {
    name: 'a page creates a ticket with JSON as a form',
    by: 'sends a `POST` with `application/x-www-form-urlencoded`, which needs no preflight',
    given: OPEN,
    harm: (arena) => canCreateTicket(arena, 'application/x-www-form-urlencoded', 'B-2'),
    without: without(ANY_ORIGIN, {
      file: LIMITS,
      from: JSON_ONLY,
      to: "addContentTypeParser<string>(['application/json', 'application/x-www-form-urlencoded'],",
    }),
  },
  {
    name: 'a page shows an answer in a frame',
    by: 'embeds the answer in a frame',
    given: OPEN,
    async harm({ server }) {
      const { headers } = await fetch(new URL('/v1/tickets', server.url));
      return !headers.get('content-security-policy')?.includes("frame-ancestors 'none'");
    },
    without: without({ file: APP, from: 'await app.register(securityHeaders);', to: '' }),
  },
];

async function canCreateTicket(arena: ClientArena, type: string, id: string): Promise<boolean> {
  const body = JSON.stringify({ ticket_id: id, repo_url: 'https://github.com/acme/duration' });
  return (await fromPage(arena, 'POST', { 'content-type': type }, body)).ok;
}

const SLOW: readonly ClientAttack[] = [
  {
    name: 'a client never finishes its headers',
    by: 'sends a header byte by byte',
    given: SHORT_TIMEOUTS,
    harm: (arena) => staysOpen(arena, `${GET}x-slow: `, 'a'),
    without: without(NEVER_HEADERS, NEVER_REQUEST),
  },
  {
    name: 'a client never finishes its body',
    by: 'sends a body byte by byte',
    given: SHORT_TIMEOUTS,
    harm: (arena) => staysOpen(arena, `${POST}content-length: 100000\r\n\r\n{`, ' '),
    without: without(NEVER_REQUEST),
  },
  {
    name: 'a client connects and sends nothing',
    by: 'opens a connection',
    given: SHORT_TIMEOUTS,
    harm: (arena) => staysOpen(arena, ''),
    without: without(NEVER_HEADERS, NEVER_REQUEST),
  },
  {
    name: 'a client keeps its connection open after the answer',
    by: 'sends one request and keeps the connection open',
    given: SHORT_TIMEOUTS,
    harm: (arena) => staysOpen(arena, `${GET}\r\n`),
    without: without({ file: APP, from: 'keepAliveTimeout: TIMEOUTS.idle', to: 'keepAliveTimeout: 0' }),
  },
  {
    name: 'a client outlasts timeouts that are checked too rarely',
    by: 'sends a body byte by byte',
    given: SHORT_TIMEOUTS,
    harm: (arena) => staysOpen(arena, `${POST}content-length: 100000\r\n\r\n{`, ' '),
    without: without({ file: APP, from: 'connectionsCheckingInterval: TIMEOUTS.checkInterval,', to: '' }),
  },
];

const LARGE: readonly ClientAttack[] = [
  {
    name: 'a client sends a large body',
    by: 'sends a body of 2 MiB',
    harm: async ({ status }) =>
      (await status('POST', '/v1/tickets', { ticket_id: 'a'.repeat(2 ** 21) }, asAdmin)) !== 413,
    without: without({ file: APP, from: 'bodyLimit: 1_048_576', to: 'bodyLimit: 1e9' }),
  },
  {
    name: 'a client sends large headers',
    by: 'sends a header of 20 KB',
    harm: async ({ raw }) =>
      (await raw(`${GET}connection: close\r\nx: ${'a'.repeat(20_000)}\r\n\r\n`)).includes(' 200 OK'),
    without: without({ file: APP, from: 'maxHeaderSize: 16_384', to: 'maxHeaderSize: 1e6' }),
  },
  {
    name: 'a client sends a long URL',
    by: 'sends a query of 5,000 characters',
    harm: async ({ status }) => (await status('GET', `/livez?${'a'.repeat(5000)}`)) === 200,
    without: without({ file: LIMITS, from: 'request.url.length > MAX_URL_LENGTH', to: 'false' }),
  },
  {
    name: 'a client sends deeply nested JSON',
    by: 'sends 100,000 brackets',
    harm: async ({ raw }) => {
      const body = '['.repeat(100_000);
      return !(await raw(`${POST}connection: close\r\ncontent-length: ${body.length}\r\n\r\n${body}`)).includes(
        'nested',
      );
    },
    without: without({ file: LIMITS, from: 'if (isDeeperThan(body, MAX_JSON_DEPTH))', to: 'if (body === null)' }),
  },
];

const SMUGGLED = `GET /smuggled HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`;

const AMBIGUOUS: readonly ClientAttack[] = [
  {
    name: 'a client smuggles a request in the body of another',
    by: 'sends contradictory `Content-Length` and `Transfer-Encoding`',
    harm: async ({ raw }) =>
      (await raw(`${GET}content-length: 1000\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`)).includes(
        '404',
      ),
    without: { nodeArgs: ['--insecure-http-parser'] },
  },
  {
    name: 'a client sends a header with control characters',
    by: 'sends a header with the character U+0001',
    harm: async ({ raw }) => (await raw(`${GET}connection: close\r\nx: a\u0001b\r\n\r\n`)).includes(' 200 OK'),
    without: { nodeArgs: ['--insecure-http-parser'] },
  },
  {
    name: 'a client pollutes the prototype of objects',
    by: 'sends a body with `__proto__`',
    async harm({ server }) {
      const body = '{"ticket_id": "P-1", "repo_url": "https://github.com/acme/duration", "__proto__": {"title": "x"}}';
      const headers = { ...asAdmin, 'content-type': 'application/json' };
      return (await fetch(new URL('/v1/tickets', server.url), { method: 'POST', headers, body })).ok;
    },
    without: without(
      { file: LIMITS, from: "getDefaultJsonParser('error', 'error')", to: "getDefaultJsonParser('ignore', 'ignore')" },
      {
        file: 'schemas/ticket.ts',
        from: "$id: 'CreateTicket',\n    additionalProperties: false,",
        to: "$id: 'CreateTicket',",
      },
    ),
  },
];

export const CONNECTION_ATTACKS: readonly ClientAttack[] = [...BROWSER, ...SLOW, ...LARGE, ...AMBIGUOUS];
