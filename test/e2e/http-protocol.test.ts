import t, { type Test } from 'tap';
import { call } from '../helpers/client.ts';
import { type RawAnswer, sendRaw } from '../helpers/raw-http.ts';
import { makeWorld, startServer } from '../helpers/server.ts';

const world = await makeWorld(t);
const server = await startServer(t, world, { RATE_LIMIT_PER_MINUTE: '1000' });
const { host } = new URL(server.url);

const END = 'connection: close\r\n\r\n';
const JSON_BODY = 'host: localhost\r\ncontent-type: application/json\r\n';

/** Asserts a problem document with Content-Length on a connection that the server closes. */
function isProblem(t: Test, answer: RawAnswer, status: number, code: string, about: string): void {
  t.equal(answer.status, status, about);
  t.match(answer.headers.get('content-type'), /^application\/problem\+json/, about);
  t.match(answer.headers.get('connection'), /^close$/i, about);
  t.equal(answer.headers.get('content-length'), String(Buffer.byteLength(answer.body)), about);
  t.match(JSON.parse(answer.body), { status, code, detail: String, remedy: String }, about);
}

t.test('the server refuses a request whose Host is missing, repeated or not valid', async (t) => {
  const refused = [
    ['twice', 'host: localhost\r\nhost: evil.example\r\n'],
    ['twice the same', 'host: localhost\r\nHOST: localhost\r\n'],
    ['none', ''],
    ['empty', 'host:\r\n'],
    ['user information', 'host: me@localhost\r\n'],
    ['a path', 'host: localhost/x\r\n'],
    ['a list', 'host: localhost, evil.example\r\n'],
    ['a space', 'host: local host\r\n'],
    ['a port that is no number', 'host: localhost:http\r\n'],
    ['a port above 65535', 'host: localhost:65536\r\n'],
    ['an unclosed address', 'host: [::1\r\n'],
    ['an invalid address', 'host: [1::2::3]\r\n'],
    ['an address without brackets', 'host: ::1\r\n'],
    ['after a thousand headers', `${'a:b\r\n'.repeat(1200)}host: localhost\r\nhost: evil.example\r\n`],
  ];
  for (const [about = '', fields] of refused) {
    isProblem(t, await sendRaw(server, `GET /livez HTTP/1.1\r\n${fields}${END}`), 400, 'invalid_request', about);
  }
  for (const name of ['localhost', 'LOCALHOST:1', 'localhost:', '[::1]:80', '127.0.0.1:65535']) {
    t.equal((await sendRaw(server, `GET /livez HTTP/1.1\r\nhost: ${name}\r\n${END}`)).status, 200, name);
  }
  isProblem(t, await sendRaw(server, 'GET /livez HTTP/1.0\r\n\r\n'), 403, 'host_not_allowed', 'HTTP/1.0 without Host');
});

t.test('the server refuses a repeated header that must be unique', async (t) => {
  for (const name of ['authorization', 'content-type', 'idempotency-key', 'last-event-id', 'origin', 'x-api-key']) {
    const sent = `POST /v1/tickets HTTP/1.1\r\nhost: localhost\r\n${name}: a\r\n${name}: b\r\n${END}`;
    const answer = await sendRaw(server, sent);
    isProblem(t, answer, 400, 'invalid_request', name);
    t.match(JSON.parse(answer.body), { errors: [{ path: `/${name}` }] }, name);
  }
});

t.test('the server accepts an absolute URL when its host equals Host', async (t) => {
  const ask = (target: string, method = 'GET', name = host) =>
    sendRaw(server, `${method} ${target} HTTP/1.1\r\nhost: ${name}\r\n${END}`);
  for (const target of [`http://${host}/livez`, `HTTP://${host.toUpperCase()}/livez?x`]) {
    t.match(await ask(target), { status: 200, body: '{"status":"ok"}' }, target);
  }
  t.match(await ask(`http://${host}`), { status: 200, body: /"name":"pullwright"/ }, 'no path');
  t.match(await ask(`http://${host}?/livez`), { status: 200, body: /"name":"pullwright"/ }, 'no path but a query');
  t.match(await ask('http://localhost/livez', 'GET', 'localhost:80'), { status: 200 }, 'the default port of http');
  const refused = [
    'http://evil.example/livez',
    `http://me@${host}/livez`,
    'http:///livez',
    `ftp://${host}/livez`,
    'http://localhost:81/livez',
    '*',
    '/livez#part',
  ];
  for (const target of refused) isProblem(t, await ask(target), 400, 'invalid_request', target);
});

t.test('the server accepts the expectation 100-continue and refuses others', async (t) => {
  const expecting = (value: string, version = '1.1') =>
    sendRaw(
      server,
      `POST /v1/tickets HTTP/${version}\r\n${JSON_BODY}content-length: 2\r\nexpect: ${value}\r\n${END}{}`,
    );
  for (const value of ['the-moon', '100-continue, the-moon', '200-ok']) {
    isProblem(t, await expecting(value), 417, 'expectation_failed', value);
  }
  t.match(await expecting('100-Continue'), { status: 400, body: /\/repo_url/ }, 'the body was read');
  t.match(await expecting('the-moon', '1.0'), { status: 400, body: /\/repo_url/ }, 'HTTP/1.0 has no expectations');
});

t.test('the server answers 405 with Allow when a resource lacks the method', async (t) => {
  const cases = [
    ['GET', '/create_ticket', 'OPTIONS, POST'],
    ['PUT', '/command', 'OPTIONS, POST'],
    ['HEAD', '/command', 'OPTIONS, POST'],
    ['POST', '/', 'GET, HEAD, OPTIONS'],
    ['DELETE', '/livez', 'GET, HEAD, OPTIONS'],
    ['TRACE', '/livez', 'GET, HEAD, OPTIONS'],
    ['PATCH', '/v1/tickets', 'GET, HEAD, OPTIONS, POST'],
    ['PROPFIND', '/v1/tickets', 'GET, HEAD, OPTIONS, POST'],
    ['QUERY', '/v1/runs', 'GET, HEAD, OPTIONS'],
    ['PUT', '/v1/tickets/X-1', 'DELETE, GET, HEAD, OPTIONS'],
    ['DELETE', '/v1/tickets/X-1/plan?x=1', 'GET, HEAD, OPTIONS, PUT'],
    ['HEAD', '/v1/backup', 'OPTIONS, POST'],
    ['POST', '/dashboard/assets/main.js', 'GET, HEAD, OPTIONS'],
    ['POST', '/openapi.json', 'GET, HEAD, OPTIONS'],
    ['DELETE', '/docs/', 'GET, HEAD, OPTIONS'],
  ];
  for (const [method = '', path = '', allow = ''] of cases) {
    const about = `${method} ${path}`;
    const text = 'host: localhost\r\ncontent-type: text/plain\r\ncontent-length: 1\r\n';
    const answer = await sendRaw(server, `${method} ${path} HTTP/1.1\r\n${text}${END}x`);
    t.match([answer.status, answer.headers.get('allow')], [405, allow], about);
    t.match(answer.headers.get('content-type'), /^application\/problem\+json/, about);
    if (method !== 'HEAD') t.match(JSON.parse(answer.body), { code: 'method_not_allowed' }, about);
    const options = await call(server, 'OPTIONS', path);
    t.match([options.status, options.headers.get('allow'), options.body], [204, allow, ''], `OPTIONS ${path}`);
  }
  for (const method of ['GET', 'POST', 'PATCH', 'OPTIONS']) {
    t.match(await call(server, method, '/nope'), { status: 404, body: method === 'HEAD' ? '' : { code: 'not_found' } });
  }
  const all = await sendRaw(server, `OPTIONS * HTTP/1.1\r\nhost: localhost\r\n${END}`);
  t.match([all.status, all.headers.get('allow')], [204, 'DELETE, GET, HEAD, OPTIONS, POST, PUT']);
});

t.test('the server answers 501 to an unknown method', async (t) => {
  for (const method of ['FOO', 'get', 'GETT', 'X-Y']) {
    const answer = await sendRaw(server, `${method} /livez HTTP/1.1\r\nhost: localhost\r\n${END}`);
    isProblem(t, answer, 501, 'not_implemented', method);
  }
  isProblem(
    t,
    await sendRaw(server, `CONNECT ${host} HTTP/1.1\r\nhost: ${host}\r\n\r\n`),
    501,
    'not_implemented',
    'CONNECT',
  );
  const upgrade = 'host: localhost\r\nupgrade: websocket\r\nconnection: upgrade, close\r\n\r\n';
  t.match(await sendRaw(server, `GET /livez HTTP/1.1\r\n${upgrade}`), { status: 200 }, 'an upgrade is ignored');
});

t.test('the server refuses a request with ambiguous or unknown framing', async (t) => {
  const chunk = '2\r\n{}\r\n0\r\n\r\n';
  const cases = [
    ['two lengths', 'content-length: 2\r\ncontent-length: 3\r\n', '{}', 400],
    ['the same length twice', 'content-length: 2\r\ncontent-length: 2\r\n', '{}', 400],
    ['a signed length', 'content-length: +2\r\n', '{}', 400],
    ['a length and chunks', 'content-length: 2\r\ntransfer-encoding: chunked\r\n', chunk, 400],
    ['chunks and a length', 'transfer-encoding: chunked\r\ncontent-length: 2\r\n', chunk, 400],
    ['chunks twice', 'transfer-encoding: chunked, chunked\r\n', chunk, 400],
    ['chunks in two headers', 'transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n', chunk, 400],
    ['the coding identity', 'transfer-encoding: identity\r\n', '{}', 400],
    ['a misspelled coding', 'transfer-encoding: xchunked\r\n', chunk, 400],
    ['gzip before chunked', 'transfer-encoding: gzip, chunked\r\n', chunk, 501],
    ['a folded header', 'x-a: b\r\n c\r\ncontent-length: 2\r\n', '{}', 400],
    ['a space before the colon', 'content-length : 2\r\n', '{}', 400],
    ['a NUL', 'x-a: \0\r\ncontent-length: 2\r\n', '{}', 400],
    ['a bad chunk', 'transfer-encoding: chunked\r\n', 'zz\r\n', 400],
  ] as const;
  for (const [about, fields, body, status] of cases) {
    const answer = await sendRaw(server, `POST /v1/tickets HTTP/1.1\r\n${JSON_BODY}${fields}${END}${body}`);
    isProblem(t, answer, status, status === 501 ? 'not_implemented' : 'invalid_request', about);
  }
  const old = `POST /v1/tickets HTTP/1.0\r\n${JSON_BODY}transfer-encoding: chunked\r\n${END}${chunk}`;
  isProblem(t, await sendRaw(server, old), 400, 'invalid_request', 'chunks in HTTP/1.0');
});

t.test('a problem reaches the client when Node refuses a request of any size', async (t) => {
  const livez = 'GET /livez HTTP/1.1\r\nhost: localhost\r\n';
  const chunked = `POST /v1/tickets HTTP/1.1\r\n${JSON_BODY}transfer-encoding: chunked\r\n${END}`;
  const cases = [
    [`GET /${'a'.repeat(20_000)} HTTP/1.1\r\nhost: localhost\r\n${END}`, 414, 'url_too_long'],
    [`GET /${'a'.repeat(4_000_000)} HTTP/1.1\r\nhost: localhost\r\n${END}`, 414, 'url_too_long'],
    [`${livez}x: ${'a'.repeat(4_000_000)}\r\n${END}`, 431, 'headers_too_large'],
    [`${chunked}2;${'a'.repeat(20_000)}\r\n{}\r\n0\r\n\r\n`, 413, 'payload_too_large'],
    [`GET /livez HTTP/2.0\r\nhost: localhost\r\n${END}`, 505, 'http_version_not_supported'],
    [`GET /livez HTTP/3.7\r\nhost: localhost\r\n${END}`, 505, 'http_version_not_supported'],
    ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505, 'http_version_not_supported'],
    ['GET /livez HTTP/1.1\nhost: localhost\n\n', 400, 'invalid_request'],
    ['HELO there\r\n\r\n', 400, 'invalid_request'],
    ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400, 'invalid_request'],
  ] as const;
  for (const [sent, status, code] of cases) {
    isProblem(t, await sendRaw(server, sent), status, code, sent.slice(0, 40));
  }
});
