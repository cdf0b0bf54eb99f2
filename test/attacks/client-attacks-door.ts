import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { asAdmin } from '../helpers/keys.ts';
import type { ClientArena } from './client-arena.ts';
import type { ClientAttack } from './client-attack.ts';
import type { Conditions } from './conditions.ts';
import type { Edit } from './take-away.ts';

const APP = 'src/app.ts';
const AUTH = 'plugins/hooks/auth.ts';
const LIMITS = 'plugins/hooks/request-limits.ts';
const JSON_ONLY = "addContentTypeParser<string>('application/json',";
const EVIL = 'https://evil.example';

/** Nobody needs a key, as on a machine where the server was just set up. */
const OPEN: Conditions = { settings: () => ({ API_KEY: '' }) };

export const LOOK_EVERY_MS = 100;

/** The patience of the server, scaled down; a client that is still there after all of it has won. */
const SCALED: Edit = {
  file: APP,
  from: '{ request: 30_000, headers: 15_000, idle: 75_000, checkInterval: 5_000 }',
  to: `{ request: 1_000, headers: 500, idle: 500, checkInterval: ${LOOK_EVERY_MS} }`,
};
export const IMPATIENT: Conditions = { edits: [SCALED] };
const ALL_OF_IT_MS = 8_000;
const GET = 'GET /livez HTTP/1.1\r\nhost: localhost\r\n';
const POST = `POST /v1/tickets HTTP/1.1\r\nhost: localhost\r\nx-api-key: ${asAdmin['x-api-key']}\r\ncontent-type: application/json\r\n`;

const without = (...edits: Edit[]): Conditions => ({ edits });
const ANY_ORIGIN: Edit = { file: AUTH, from: 'if (reads(request) ||', to: 'if (true ||' };
const NEVER_HEADERS: Edit = { file: APP, from: 'headersTimeout: TIMEOUTS.headers', to: 'headersTimeout: 0' };
const NEVER_REQUEST: Edit = { file: APP, from: 'requestTimeout: TIMEOUTS.request', to: 'requestTimeout: 0' };

/** Whether a connection is still open after all of the patience; it sends a byte now and then. */
async function staysOpen({ open }: ClientArena, sent: string, byte = ''): Promise<boolean> {
  const socket: Socket = await open(sent);
  socket.resume();
  const timer = setInterval(() => socket.writable && socket.write(byte), LOOK_EVERY_MS);
  const closed = once(socket, 'close').then(() => false);
  const won = await Promise.race([closed, pause(ALL_OF_IT_MS, true, { ref: false })]);
  clearInterval(timer);
  socket.destroy();
  return won;
}

/** A request from a page in somebody's browser. */
async function fromPage({ server }: ClientArena, method: string, headers: Record<string, string>, body?: string) {
  return fetch(new URL('/v1/tickets', server.url), {
    method,
    headers: { origin: EVIL, ...headers },
    body: body ?? null,
  });
}

/** A request with any `Host`, which `fetch` would not send. */
const named = ({ raw }: ClientArena, headers: string) =>
  raw(`GET /v1/tickets HTTP/1.1\r\n${headers}\r\nconnection: close\r\n\r\n`);

const BROWSER: readonly ClientAttack[] = [
  {
    name: 'a name that was pointed at this machine',
    by: 'a page reads the tickets under its own name, which leads to loopback (DNS rebinding)',
    given: OPEN,
    harm: async (arena) => (await named(arena, 'host: evil.example')).startsWith('HTTP/1.1 200'),
    without: { settings: () => ({ ALLOWED_HOSTS: 'evil.example' }) },
  },
  {
    name: 'a name that a header denies',
    by: 'as before, with `X-Forwarded-Host: localhost`',
    given: OPEN,
    harm: async (arena) =>
      (await named(arena, 'host: evil.example\r\nx-forwarded-host: localhost')).startsWith('HTTP/1.1 200'),
    without: {
      settings: () => ({ TRUST_PROXY: '127.0.0.1' }),
      edits: [{ file: 'plugins/hooks/host-check.ts', from: "request.headers.host ?? ''", to: 'request.host' }],
    },
  },
  {
    name: 'a page of another origin that reads',
    by: 'asks from a browser and reads the answer',
    given: OPEN,
    harm: async (arena) => (await fromPage(arena, 'GET', {})).headers.get('access-control-allow-origin') === EVIL,
    without: { settings: () => ({ CORS_ORIGINS: EVIL }) },
  },
  {
    name: 'a page of another origin that asks whether it may write',
    by: 'a preflight for `POST` with JSON',
    given: OPEN,
    async harm(arena) {
      const asked = { 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' };
      return (await fromPage(arena, 'OPTIONS', asked)).headers.has('access-control-allow-origin');
    },
    without: { settings: () => ({ CORS_ORIGINS: EVIL }) },
  },
  {
    name: 'what a page may ask for without a body',
    by: 'makes a backup, for which no browser asks first',
    given: OPEN,
    harm: async ({ status }) => (await status('POST', '/v1/backup', undefined, { origin: EVIL })) === 200,
    without: { settings: () => ({ CORS_ORIGINS: EVIL }) },
  },
  {
    name: 'as before, from a page of another port of this machine',
    by: 'as before, in a browser that names no origin',
    given: OPEN,
    harm: async ({ status }) =>
      (await status('POST', '/v1/housekeeping', undefined, { 'sec-fetch-site': 'same-site' })) < 300,
    without: without(ANY_ORIGIN),
  },
  {
    name: 'JSON that a page sends as text',
    by: 'a page creates a ticket with `text/plain`, for which no browser asks first',
    given: OPEN,
    harm: (arena) => writes(arena, 'text/plain', 'B-1'),
    without: without(ANY_ORIGIN, {
      file: LIMITS,
      from: JSON_ONLY,
      to: "addContentTypeParser<string>(['application/json', 'text/plain'],",
    }),
  },
  {
    name: 'JSON that a page sends as a form',
    by: 'as before, with `application/x-www-form-urlencoded`',
    given: OPEN,
    harm: (arena) => writes(arena, 'application/x-www-form-urlencoded', 'B-2'),
    without: without(ANY_ORIGIN, {
      file: LIMITS,
      from: JSON_ONLY,
      to: "addContentTypeParser<string>(['application/json', 'application/x-www-form-urlencoded'],",
    }),
  },
  {
    name: 'an answer in a frame',
    by: 'a page shows it in a frame of its own',
    given: OPEN,
    async harm({ server }) {
      const { headers } = await fetch(new URL('/v1/tickets', server.url));
      return !headers.get('content-security-policy')?.includes("frame-ancestors 'none'");
    },
    without: without({ file: APP, from: 'await app.register(securityHeaders);', to: '' }),
  },
];

async function writes(arena: ClientArena, type: string, id: string): Promise<boolean> {
  const body = JSON.stringify({ ticket_id: id, repo_url: 'https://github.com/acme/duration' });
  return (await fromPage(arena, 'POST', { 'content-type': type }, body)).ok;
}

const SLOW: readonly ClientAttack[] = [
  {
    name: 'headers that never end',
    by: 'sends a header byte by byte',
    given: IMPATIENT,
    harm: (arena) => staysOpen(arena, `${GET}x-slow: `, 'a'),
    without: without(NEVER_HEADERS, NEVER_REQUEST),
  },
  {
    name: 'a body that never ends',
    by: 'sends a body byte by byte',
    given: IMPATIENT,
    harm: (arena) => staysOpen(arena, `${POST}content-length: 100000\r\n\r\n{`, ' '),
    without: without(NEVER_REQUEST),
  },
  {
    name: 'a connection that says nothing',
    by: 'connects and sends nothing',
    given: IMPATIENT,
    harm: (arena) => staysOpen(arena, ''),
    without: without(NEVER_HEADERS, NEVER_REQUEST),
  },
  {
    name: 'a connection that is idle after its answer',
    by: 'sends one request and stays',
    given: IMPATIENT,
    harm: (arena) => staysOpen(arena, `${GET}\r\n`),
    without: without({ file: APP, from: 'keepAliveTimeout: TIMEOUTS.idle', to: 'keepAliveTimeout: 0' }),
  },
  {
    name: 'limits of time that nobody watches',
    by: 'sends a body byte by byte to a server that looks after its connections too rarely',
    given: IMPATIENT,
    harm: (arena) => staysOpen(arena, `${POST}content-length: 100000\r\n\r\n{`, ' '),
    without: without({ file: APP, from: 'connectionsCheckingInterval: TIMEOUTS.checkInterval,', to: '' }),
  },
];

const LARGE: readonly ClientAttack[] = [
  {
    name: 'a body without end',
    by: 'sends 2 MiB',
    harm: async ({ status }) =>
      (await status('POST', '/v1/tickets', { ticket_id: 'a'.repeat(2 ** 21) }, asAdmin)) !== 413,
    without: without({ file: APP, from: 'bodyLimit: 1_048_576', to: 'bodyLimit: 1e9' }),
  },
  {
    name: 'headers without end',
    by: 'sends a header of 20 KB',
    harm: async ({ raw }) =>
      (await raw(`${GET}connection: close\r\nx: ${'a'.repeat(20_000)}\r\n\r\n`)).includes(' 200 OK'),
    without: without({ file: APP, from: 'maxHeaderSize: 16_384', to: 'maxHeaderSize: 1e6' }),
  },
  {
    name: 'a URL without end',
    by: 'asks with a query of 5,000 characters',
    harm: async ({ status }) => (await status('GET', `/livez?${'a'.repeat(5000)}`)) === 200,
    without: without({ file: LIMITS, from: 'request.url.length > MAX_URL_LENGTH', to: 'false' }),
  },
  {
    name: 'JSON that is nested without end',
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
    name: 'a request in the body of another',
    by: 'sends `Content-Length` and `Transfer-Encoding` that disagree',
    harm: async ({ raw }) =>
      (await raw(`${GET}content-length: 1000\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`)).includes(
        '404',
      ),
    without: { nodeArgs: ['--insecure-http-parser'] },
  },
  {
    name: 'a value with control characters',
    by: 'sends a header that holds them',
    harm: async ({ raw }) => (await raw(`${GET}connection: close\r\nx: a\u0001b\r\n\r\n`)).includes(' 200 OK'),
    without: { nodeArgs: ['--insecure-http-parser'] },
  },
  {
    name: 'the prototype of all objects',
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

export const AT_THE_DOOR: readonly ClientAttack[] = [...BROWSER, ...SLOW, ...LARGE, ...AMBIGUOUS];
