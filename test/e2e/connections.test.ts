import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import t from 'tap';
import type { Problem } from '../../schemas/problem.ts';
import { withoutDefences } from '../attacks/client-arena.ts';
import { CHECK_INTERVAL_MS, SHORT_TIMEOUTS } from '../attacks/client-attacks-door.ts';
import { call } from '../helpers/client.ts';
import { makeWorld, REPO, startServerProcess } from '../helpers/server.ts';

const world = await makeWorld(t);
const { env, nodeArgs } = withoutDefences(SHORT_TIMEOUTS);
const server = await startServerProcess(t, world, env, nodeArgs);
const port = Number(new URL(server.url).port);

/** Opens a connection and sends text. */
async function open(sent = ''): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  socket.write(sent);
  return socket;
}

/** Reads until the server closes the connection. */
const answer = async (socket: Socket | Promise<Socket>) => text(await socket);

/** Sends a byte in each check interval of the server until the connection is closed. */
function drip(socket: Socket, byte: string): Socket {
  const timer = setInterval(() => socket.writable && socket.write(byte), CHECK_INTERVAL_MS);
  socket.once('close', () => clearInterval(timer));
  socket.on('error', () => {});
  return socket;
}

const GET = 'GET /livez HTTP/1.1\r\nhost: localhost\r\n';
const POST = 'POST /v1/tickets HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n';

t.test('the server disconnects slow clients and keeps slow responses open', async (t) => {
  world.gemini.on('stay', [{ hang: true }, { text: 'over' }]);
  await call(server, 'POST', '/v1/tickets', { ticket_id: 'S-1', repo_url: REPO });
  const { body: run } = await call(server, 'POST', '/v1/tickets/S-1/runs', { action: 'chat', message: 'stay' });
  const stream = await open(
    `GET /v1/runs/${run.run_id}/events HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`,
  );
  const streamed = text(stream);

  const slowHeaders = drip(await open(`${GET}x-slow: `), 'a');
  const slowBody = drip(await open(`${POST}content-length: 10000\r\n\r\n{`), ' ');
  const silent = await open();
  const idle = await open(`${GET}\r\n`);
  const [headers, body, nothing, between] = await Promise.all([slowHeaders, slowBody, silent, idle].map(answer));
  t.match(headers, /^HTTP\/1\.1 408 Request Timeout\r\n.*application\/problem\+json.*"code":"request_timeout"/s);
  t.match(body, /^HTTP\/1\.1 408 /);
  t.match(nothing, /^HTTP\/1\.1 408 /);
  t.match(between, /^HTTP\/1\.1 200 OK.*\{"status":"ok"\}$/s, 'an idle connection is closed after its response');

  const { status, headers: received, body: none } = await call(server, 'HEAD', `/v1/runs/${run.run_id}/events`);
  t.match([status, received.get('content-type'), none], [200, /^text\/event-stream/, ''], 'a HEAD opens no stream');
  await call(server, 'POST', `/v1/runs/${run.run_id}/cancel`);
  t.match(await streamed, /^HTTP\/1\.1 200 OK.*run\.queued.*run\.canceled/s, 'the stream stays open meanwhile');
});

t.test('the server answers an invalid request with a problem document', async (t) => {
  t.match(
    await answer(open(`${GET}x-large: ${'a'.repeat(20_000)}\r\n\r\n`)),
    /^HTTP\/1\.1 431 .*application\/problem\+json.*"code":"headers_too_large"/s,
  );
  t.match(await answer(open('HELO there\r\n\r\n')), /^HTTP\/1\.1 400 .*"code":"invalid_request"/s);
  t.match(await answer(open('GET /livez HTTP/1.1\r\n\r\n')), /^HTTP\/1\.1 400 /, 'no host');
});

t.test('the server limits the length of URLs and the size, type and depth of bodies', async (t) => {
  t.match(await call(server, 'GET', `/v1/tickets?cursor=${'a'.repeat(5000)}`), {
    status: 414,
    body: { code: 'url_too_long' },
  });
  const post = async (body: string, type = 'application/json') => {
    const headers = { 'content-type': type };
    const response = await fetch(new URL('/v1/tickets', server.url), { method: 'POST', headers, body });
    const problem: Problem = JSON.parse(await response.text());
    return { status: response.status, body: problem };
  };
  const deep = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;
  t.match(await post(deep(17)), { status: 400, body: { detail: /nested more than 16 levels deep/ } });
  t.notMatch((await post(deep(16))).body.detail, /nested/);
  const brackets = { ticket_id: 'D-1', repo_url: 'x', description: `\\"${'['.repeat(1000)}` };
  t.match(
    await post(JSON.stringify(brackets)),
    { status: 400, body: { code: 'repo_url_invalid' } },
    'brackets in text do not count',
  );
  t.match(await post('{}', 'text/plain'), { status: 415, body: { code: 'unsupported_media_type' } });
  t.match(await post(`"${'a'.repeat(1_100_000)}"`), { status: 413 });
});

t.test('every response has the security headers', async (t) => {
  for (const path of ['/', '/v1/tickets', '/v1/tickets/NONE-1', '/nope', '/openapi.json', '/docs/']) {
    const { headers } = await call(server, 'GET', path);
    const policy = headers.get('content-security-policy') ?? '';
    t.match(policy, /default-src 'none'/, path);
    t.match(policy, /frame-ancestors 'none'/, path);
    t.notMatch(policy, /unsafe|\*|https?:/, path);
    t.equal(headers.get('x-content-type-options'), 'nosniff', path);
    t.equal(headers.get('cross-origin-resource-policy'), 'same-origin', path);
    t.equal(headers.get('x-powered-by'), null, path);
  }
  t.equal((await call(server, 'GET', '/v1/tickets')).headers.get('cache-control'), 'no-store');
  for (const path of ['/docs/', '/dashboard/', '/dashboard/tickets/D-1']) {
    const { headers } = await call(server, 'GET', path);
    t.match(headers.get('content-type'), /^text\/html/, path);
    t.equal(headers.get('referrer-policy'), 'no-referrer', path);
    t.equal(headers.get('cross-origin-opener-policy'), 'same-origin', path);
    t.equal(headers.get('x-frame-options'), 'SAMEORIGIN', path);
  }
});

t.test('the server answers only for its own host names', async (t) => {
  const ask = (host: string) => answer(open(`GET /v1/tickets HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`));
  t.match(await ask('localhost:1'), /^HTTP\/1\.1 200 /);
  t.match(await ask('evil.example'), /^HTTP\/1\.1 403 .*host_not_allowed/s);
});
