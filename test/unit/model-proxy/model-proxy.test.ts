import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { createServer as createTcpServer, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import t from 'tap';
import { listenOnLoopback } from '../../../src/sandbox/socket-forward.ts';
import {
  COUNT,
  event,
  json,
  KEY,
  makeProxy,
  PLAIN,
  proxyTo,
  requestWith,
  responseTo,
  STREAM,
  usage,
} from './fixtures.ts';

t.test('the proxy forwards only calls that agents need, with the key in place of the token', async (t) => {
  const { begin, call, received, notified, proxy } = await makeProxy(t, (response) => json(response, usage(3, 4)), {
    path: '/relay/',
  });
  t.equal((await call(PLAIN)).status, 403, 'no call outside of a turn');
  const end = begin();
  const headers = { cookie: 'a=b', authorization: 'Bearer x', 'x-forwarded-for': 'y', 'content-type': 'text/x' };
  t.match(await call(PLAIN, { headers, body: requestWith('x') }), { status: 200, body: /usageMetadata/ });
  t.match(
    received[0],
    { method: 'POST', url: `/relay${PLAIN}`, body: requestWith('x') },
    'below the address of the relay',
  );
  const { host, connection, ...sent } = received[0]?.headers ?? {};
  t.same(sent, {
    'content-type': 'application/json',
    'content-length': String(requestWith('x').length),
    'accept-encoding': 'identity',
    'x-goog-api-key': KEY,
  });
  t.notMatch(JSON.stringify(received), proxy.token);

  const before = received.length;
  for (const path of [
    ...['/', '/v1beta/models', '/v1beta/models/x', '/v1beta/models/x:embedContent', '/v1beta/files', '/upload/v1beta'],
    ...['/v1beta/cachedContents', '/v1beta/models/../files:generateContent', '/v1beta/models/a/b:generateContent'],
    ...[`${PLAIN}?key=x`, `${PLAIN}#x`, `${PLAIN}/x`, `/x${PLAIN}`, `//evil.example${PLAIN}`, '/v1beta/tunedModels/x'],
    ...[
      '/v1beta/models/x:batchGenerateContent',
      '/v1beta/models/%2e%2e:generateContent',
      `http://evil.example${PLAIN}`,
    ],
  ]) {
    t.equal((await call(path)).status, 403, path);
  }
  for (const method of ['GET', 'PUT', 'DELETE', 'OPTIONS'])
    t.equal((await call(PLAIN, { method })).status, 403, method);
  for (const token of ['', KEY, `${proxy.token}x`, proxy.token.slice(1)]) {
    t.equal((await call(PLAIN, { headers: { 'x-goog-api-key': token } })).status, 403, `token ${token.length}`);
  }
  t.equal(received.length, before, 'no refused call reached the model');
  t.match(notified.at(-1), { warning: 'agents do not need OPTIONS /v1beta/models/gemini-2.5-pro' });
  end();
  t.equal((await call(PLAIN)).status, 403);
});

t.test('the proxy streams a response as it arrives, without headers that are not for the agent', async (t) => {
  const next = Promise.withResolvers<void>();
  const { begin, send, notified } = await makeProxy(t, async (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'set-cookie': 'x', 'x-internal': 'y' });
    response.write(event(usage(10, 1)));
    await next.promise;
    // Split anywhere, even within a character.
    const rest = Buffer.from(event({ text: 'ü', ...usage(10, 5) }));
    for (const byte of rest) response.write(Buffer.of(byte));
    response.end();
  });
  begin();
  const answer = await responseTo(send(STREAM));
  const [first] = await once(answer, 'data');
  t.equal(String(first), event(usage(10, 1)), 'the first part arrives before the model sends the second');
  t.notOk(answer.headers['set-cookie'] || answer.headers['x-internal']);
  t.equal(answer.headers['content-type'], 'text/event-stream');
  next.resolve();
  t.equal(await text(answer), event({ text: 'ü', ...usage(10, 5) }));
  t.same(
    notified,
    [{ input_tokens: 10, output_tokens: 5, cached_tokens: 0, model: 'gemini-2.5-pro' }],
    'the last count is reported',
  );
});

t.test('the proxy counts the tokens of each form of response', async (t) => {
  const metadata = {
    ...{ promptTokenCount: 100, cachedContentTokenCount: 60, candidatesTokenCount: 7, thoughtsTokenCount: 20 },
    ...{ toolUsePromptTokenCount: 3, totalTokenCount: 130 },
  };
  const spoof = { candidates: [{ content: { parts: [{ functionCall: { args: { usageMetadata: metadata } } }] } }] };
  const answers: unknown[] = [
    { usageMetadata: metadata },
    [usage(1, 1), usage(1, 2)],
    spoof,
    { usageMetadata: { promptTokenCount: -5, candidatesTokenCount: 1e300 } },
    'x'.repeat(396),
  ];
  const { begin, call, notified } = await makeProxy(t, (response) => json(response, answers.shift() ?? {}));
  begin();
  for (let index = 0; index < 5; index += 1) await call(PLAIN);
  await call(COUNT);
  const counts = notified.map((usage) => Object.values(usage).slice(0, 3));
  t.same(counts[0], [103, 27, 60], 'thoughts count as output, tool results as input');
  t.same(counts[1], [1, 2, 0], 'a list counts by its last element');
  t.same(
    counts[2],
    [Math.ceil(('{}'.length + JSON.stringify(spoof).length) / 4), 0, 0],
    'a count in generated content is ignored',
  );
  t.same(counts[3], [0, 0, 0], 'implausible counts are ignored');
  t.same(counts[4], [100, 0, 0], 'a response without a count is estimated by its size');
  t.equal(counts.length, 5, 'countTokens itself is not counted');
});

t.test('the proxy checks the budget before each call, one call at a time', async (t) => {
  const { begin, call, notified, received } = await makeProxy(t, (response) => json(response, usage(60, 40)));
  begin({ limit: 150, used: 0 });
  const statuses = await Promise.all(Array.from({ length: 5 }, async () => (await call(PLAIN)).status));
  t.same(statuses.toSorted(), [200, 200, 403, 403, 403], 'even when calls arrive at once');
  t.equal(received.length, 2, 'one call at most exceeds the budget');
  t.match(notified.at(-1), {
    code: 'budget_exceeded',
    message: '200 tokens used; THE_LIMIT allows 150.',
  });
  begin({ limit: 150, used: 150 });
  t.equal((await call(PLAIN)).status, 403, 'earlier usage of the run counts too');
  begin({ limit: 150, used: 149 });
  t.equal((await call(PLAIN)).status, 200);
});

t.test('the proxy counts a call when the agent or the turn aborts it', async (t) => {
  const { begin, send, notified } = await makeProxy(t, (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write(event(usage(10, 2)));
  });
  const end = begin();
  const answer = await responseTo(send(STREAM));
  await once(answer, 'data');
  answer.destroy();
  const other = await responseTo(send(STREAM));
  await once(other, 'data');
  end();
  t.match(
    notified,
    [{ input_tokens: 10, output_tokens: 2 }, { output_tokens: 2 }],
    'all usage is reported when the turn has ended',
  );
  await t.rejects(text(other), 'the agent receives no more data');
});

t.test('the proxy counts a call by its size when the agent aborts it before the response', async (t) => {
  const arrived = Promise.withResolvers<void>();
  const { begin, send, notified } = await makeProxy(t, () => arrived.resolve());
  const end = begin();
  const sent = send(PLAIN, { body: requestWith('x'.repeat(400 - requestWith('').length)) });
  await arrived.promise;
  sent.destroy();
  end();
  t.match(notified, [{ input_tokens: 100, output_tokens: 0 }]);
});

t.test('the proxy aborts its response when the model aborts its own', async (t) => {
  const { begin, send, notified } = await makeProxy(t, (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(event(usage(5, 5)), () => response.destroy());
  });
  const end = begin();
  const answer = await responseTo(send(STREAM));
  await t.rejects(text(answer));
  end();
  t.match(notified, [{ input_tokens: 5, output_tokens: 5 }]);
});

t.test('the proxy refuses a request when its body exceeds 32 MiB', async (t) => {
  const { begin, call, send, received } = await makeProxy(t, (response) => json(response, {}));
  begin();
  const size = 33 * 1024 * 1024;
  t.equal(
    (await call(PLAIN, { headers: { 'content-length': String(size) }, body: '' }).catch(() => ({ status: 413 })))
      .status,
    413,
  );
  const sent = send(PLAIN, { headers: { 'transfer-encoding': 'chunked' }, body: 'x'.repeat(size) });
  const answer = await responseTo(sent);
  t.equal(answer.statusCode, 413);
  t.same(received, [], 'neither request reached the model');
});

t.test('the proxy forwards large requests one at a time, while small ones pass', async (t) => {
  const large = JSON.stringify({ contents: [{ role: 'user', parts: [{ text: 'x'.repeat(5 * 1024 * 1024) }] }] });
  const log: string[] = [];
  const held = Promise.withResolvers<ServerResponse>();
  const { begin, call } = await makeProxy(t, (response, { body }) => {
    if (body.length < 100) return json(response, usage(1, 1));
    log.push('a large one');
    if (log.length > 1) return json(response, usage(1, 1));
    return held.resolve(response);
  });
  begin();
  const two = [call(STREAM, { body: large }), call(STREAM, { body: large })];
  const first = await held.promise;
  for (let count = 0; count < 50; count += 1) await call(PLAIN);
  log.push('the end of the first');
  json(first, usage(1, 1));
  t.match(await Promise.all(two), [{ status: 200 }, { status: 200 }]);
  t.same(log, ['a large one', 'the end of the first', 'a large one']);
});

t.test('the proxy reaches the model through the HTTP proxy of the operator', async (t) => {
  const targets: string[] = [];
  const operator = createTcpServer((socket: Socket) => {
    socket.once('data', (data) => {
      targets.push(String(data).split('\r\n')[0] ?? '');
      socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
    });
  });
  const { url, close } = await listenOnLoopback(operator);
  t.teardown(close);
  const nearTimeLimit = { unit: 'seconds', limit: 100, used: 99.5 } as const;
  for (const address of ['https://model.example', 'http://model.example']) {
    const { begin, call, notified } = await proxyTo(t, address, { HTTPS_PROXY: url, http_proxy: url });
    begin(nearTimeLimit);
    await call(PLAIN);
    t.match(notified.at(-1), { code: 'model_failed' });
  }
  const { begin, call } = await proxyTo(t, 'http://127.0.0.1:1', { HTTP_PROXY: url, NO_PROXY: '127.0.0.1' });
  begin(nearTimeLimit);
  await call(PLAIN);
  t.same(targets, ['CONNECT model.example:443 HTTP/1.1', `POST http://model.example${PLAIN} HTTP/1.1`]);
});
