import { once } from 'node:events';
import { type ClientRequest, createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { createServer as createTcpServer, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import t from 'tap';
import { geminiModel } from '../../src/agents/gemini-model.ts';
import { createModelProxy } from '../../src/agents/model-proxy.ts';
import { createUpstream } from '../../src/agents/upstream.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { createRedactor } from '../../src/redaction/redactor.ts';
import { serveOnLoopback } from '../../src/sandbox/service.ts';
import type { Owner } from './fixtures.ts';

const KEY = 'AIzaSyRealKey0123456789';
const STREAM = '/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse';
const PLAIN = '/v1beta/models/gemini-2.5-pro:generateContent';
const COUNT = '/v1beta/models/gemini-2.5-pro:countTokens';

async function answerTo(sent: ClientRequest): Promise<IncomingMessage> {
  const answer = Promise.withResolvers<IncomingMessage>();
  sent.once('response', answer.resolve).once('error', answer.reject);
  return answer.promise;
}

type Seen = { method: string | undefined; url: string | undefined; headers: IncomingMessage['headers']; body: string };

/** A proxy in front of a model that answers as it is told, and an agent's calls to it. */
async function makeProxy(t: Owner, answer: (response: ServerResponse, seen: Seen) => unknown, path = '') {
  const seen: Seen[] = [];
  const model = createServer(async (incoming, response) => {
    const { method, url, headers } = incoming;
    const body = await text(incoming).catch(() => undefined);
    if (body === undefined) return;
    const request = { method, url, headers, body };
    seen.push(request);
    answer(response, request);
  });
  const address = await serveOnLoopback(model);
  t.teardown(address.close);
  return { seen, ...(await proxyTo(t, address.url + path)) };
}

async function proxyTo(t: Owner, address: string, env: Record<string, string> = {}) {
  const config = loadConfig({ GEMINI_API_KEY: KEY, GOOGLE_GEMINI_BASE_URL: address }, '/nonexistent');
  const upstream = createUpstream(env);
  t.teardown(upstream.close);
  const proxy = createModelProxy(geminiModel(config), upstream, createRedactor([KEY]));
  const service = await serveOnLoopback(proxy.server);
  t.teardown(service.close);
  const told: object[] = [];
  const begin = (budget?: { limit: number; used: number }) =>
    proxy.begin({
      budget: budget && { setting: 'MAX_TOKENS_PER_RUN', ...budget },
      onUsage: (usage, model) => told.push({ ...usage, model }),
      onWarning: (warning) => told.push({ warning }),
      onSpent: ({ code, message }) => told.push({ code, message }),
    });
  const send = (path: string, options: { method?: string; headers?: Record<string, string>; body?: string } = {}) => {
    const { method = 'POST', headers = {}, body = '{}' } = options;
    const sent = request(service.url, { path, method, headers: { 'x-goog-api-key': proxy.token, ...headers } });
    sent.on('error', () => {});
    sent.end(method === 'GET' ? undefined : body);
    return sent;
  };
  const call = async (...args: Parameters<typeof send>) => {
    const answer = await answerTo(send(...args));
    return { status: answer.statusCode, headers: answer.headers, body: await text(answer) };
  };
  return { proxy, begin, send, call, told };
}

const event = (value: object) => `data: ${JSON.stringify(value)}\r\n\r\n`;
const usage = (prompt: number, candidates: number) => ({
  usageMetadata: { promptTokenCount: prompt, candidatesTokenCount: candidates, totalTokenCount: prompt + candidates },
});
const json = (response: ServerResponse, value: unknown) =>
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));

t.test('only the calls of the agent get through, with the key in place of the token', async (t) => {
  const { begin, call, seen, told, proxy } = await makeProxy(t, (response) => json(response, usage(3, 4)), '/relay/');
  t.equal((await call(PLAIN)).status, 403, 'nothing outside of a turn');
  const end = begin();
  const headers = { cookie: 'a=b', authorization: 'Bearer x', 'x-forwarded-for': 'y', 'content-type': 'text/x' };
  t.match(await call(PLAIN, { headers, body: '{"a":1}' }), { status: 200, body: /usageMetadata/ });
  t.match(seen[0], { method: 'POST', url: `/relay${PLAIN}`, body: '{"a":1}' }, 'below the address of the relay');
  const { host, connection, ...sent } = seen[0]?.headers ?? {};
  t.same(sent, {
    'content-type': 'text/x',
    'content-length': '7',
    'accept-encoding': 'identity',
    'x-goog-api-key': KEY,
  });
  t.notMatch(JSON.stringify(seen), proxy.token);

  const before = seen.length;
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
  t.equal(seen.length, before, 'no refused call reached the model');
  t.match(told.at(-1), { warning: 'A request to the model was refused: OPTIONS /v1beta/models/gemini-2.5-pro' });
  end();
  t.equal((await call(PLAIN)).status, 403);
});

t.test('answers come as they are made, without what is not for the agent', async (t) => {
  const next = Promise.withResolvers<void>();
  const { begin, send, told } = await makeProxy(t, async (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'set-cookie': 'x', 'x-internal': 'y' });
    response.write(event(usage(10, 1)));
    await next.promise;
    // Cut anywhere, also within a character.
    const rest = Buffer.from(event({ text: 'ü', ...usage(10, 5) }));
    for (const byte of rest) response.write(Buffer.of(byte));
    response.end();
  });
  begin();
  const answer = await answerTo(send(STREAM));
  const [first] = await once(answer, 'data');
  t.equal(String(first), event(usage(10, 1)), 'the first part is here before the second is made');
  t.notOk(answer.headers['set-cookie'] || answer.headers['x-internal']);
  t.equal(answer.headers['content-type'], 'text/event-stream');
  next.resolve();
  t.equal(await text(answer), event({ text: 'ü', ...usage(10, 5) }));
  t.same(told, [{ input_tokens: 10, output_tokens: 5, cached_tokens: 0, model: 'gemini-2.5-pro' }], 'the last count');
});

t.test('tokens are counted in every form of an answer', async (t) => {
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
    'x'.repeat(398),
  ];
  const { begin, call, told } = await makeProxy(t, (response) => json(response, answers.shift()));
  begin();
  for (let index = 0; index < 5; index += 1) await call(PLAIN, { body: '' });
  await call(COUNT);
  const counts = told.map((usage) => Object.values(usage).slice(0, 3));
  t.same(counts[0], [103, 27, 60], 'thoughts are output, and what tools brought is input');
  t.same(counts[1], [1, 2, 0], 'a list counts by its last element');
  t.same(counts[2], [Math.ceil(JSON.stringify(spoof).length / 4), 0, 0], 'what the model says is no count');
  t.same(counts[3], [0, 0, 0], 'nor is nonsense');
  t.same(counts[4], [100, 0, 0], 'an answer without a count counts by its size');
  t.equal(counts.length, 5, 'counting tokens is free');
});

t.test('a budget is checked before each call, one call at a time', async (t) => {
  const { begin, call, told, seen } = await makeProxy(t, (response) => json(response, usage(60, 40)));
  begin({ limit: 150, used: 0 });
  const statuses = await Promise.all(Array.from({ length: 5 }, async () => (await call(PLAIN)).status));
  t.same(statuses.toSorted(), [200, 200, 403, 403, 403], 'also when they come at once');
  t.equal(seen.length, 2, 'overshot by one call at most');
  t.match(told.at(-1), {
    code: 'budget_exceeded',
    message: '200 tokens are used; MAX_TOKENS_PER_RUN allows 150.',
  });
  begin({ limit: 150, used: 150 });
  t.equal((await call(PLAIN)).status, 403, 'what the run used before counts too');
  begin({ limit: 150, used: 149 });
  t.equal((await call(PLAIN)).status, 200);
});

t.test('calls that are broken off count', async (t) => {
  const { begin, send, told } = await makeProxy(t, (response, { body }) => {
    if (body === 'silent') return;
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write(event(usage(10, 2)));
  });
  const end = begin();
  const answer = await answerTo(send(STREAM));
  await once(answer, 'data');
  answer.destroy();
  const other = await answerTo(send(STREAM));
  await once(other, 'data');
  end();
  t.match(told, [{ input_tokens: 10, output_tokens: 2 }, { output_tokens: 2 }], 'all are told when the turn has ended');
  await t.rejects(text(other), 'and the agent gets no more');
});

t.test('a call that the agent leaves before its answer counts by its size', async (t) => {
  const arrived = Promise.withResolvers<void>();
  const { begin, send, told } = await makeProxy(t, () => arrived.resolve());
  const end = begin();
  const sent = send(PLAIN, { body: 'x'.repeat(400) });
  await arrived.promise;
  sent.destroy();
  end();
  t.match(told, [{ input_tokens: 100, output_tokens: 0 }]);
});

t.test('what goes wrong at the model is told apart, and its errors do not tell the key', async (t) => {
  const words = `Consumer 'api_key:${KEY}' is tired`;
  const { begin, call, told } = await makeProxy(t, (response, { body }) => {
    const status = Number(body);
    response.writeHead(status, { 'content-type': 'application/json', 'retry-after': '7', location: 'http://x/' });
    response.end(status === 502 ? '<html>' : JSON.stringify({ error: { code: status, message: words } }));
  });
  begin();
  for (const status of [302, 400, 403, 429, 500, 502, 503]) {
    const answer = await call(PLAIN, { body: String(status) });
    t.equal(answer.status, status);
    t.equal(answer.headers['retry-after'], '7');
    t.notOk(answer.headers.location);
    t.notMatch(answer.body, KEY);
    if (status !== 502) t.match(JSON.parse(answer.body).error, { message: "Consumer 'api_key:[redacted]' is tired" });
  }
  t.same(told, [
    { warning: "The model limits the rate (429): Consumer 'api_key:[redacted]' is tired" },
    { warning: "The model failed (500): Consumer 'api_key:[redacted]' is tired" },
    { warning: 'The model failed (502): it gave no reason' },
    { warning: "The model failed (503): Consumer 'api_key:[redacted]' is tired" },
  ]);

  const nowhere = await proxyTo(t, 'http://127.0.0.1:1');
  nowhere.begin();
  t.match(await nowhere.call(PLAIN), { status: 502, body: /The model was not reached \(ECONNREFUSED\)/ });
  t.same(nowhere.told, [{ warning: 'The model was not reached (ECONNREFUSED).' }], 'and it used nothing');
});

t.test('an answer that breaks off breaks off for the agent', async (t) => {
  const { begin, send, told } = await makeProxy(t, (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(event(usage(5, 5)), () => response.destroy());
  });
  const end = begin();
  const answer = await answerTo(send(STREAM));
  await t.rejects(text(answer));
  end();
  t.match(told, [{ input_tokens: 5, output_tokens: 5 }]);
});

t.test('requests are limited in size', async (t) => {
  const { begin, call, send, seen } = await makeProxy(t, (response) => json(response, {}));
  begin();
  const size = 33 * 1024 * 1024;
  t.equal(
    (await call(PLAIN, { headers: { 'content-length': String(size) }, body: '' }).catch(() => ({ status: 413 })))
      .status,
    413,
  );
  const sent = send(PLAIN, { headers: { 'transfer-encoding': 'chunked' }, body: 'x'.repeat(size) });
  const answer = await answerTo(sent);
  t.equal(answer.statusCode, 413);
  t.same(seen, [], 'the model saw no end of either');
});

t.test('the proxy of the operator is used on the way to the model', async (t) => {
  const targets: string[] = [];
  const operator = createTcpServer((socket: Socket) => {
    socket.once('data', (data) => {
      targets.push(String(data).split('\r\n')[0] ?? '');
      socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
    });
  });
  const { url, close } = await serveOnLoopback(operator);
  t.teardown(close);
  for (const address of ['https://model.example', 'http://model.example']) {
    const { begin, call } = await proxyTo(t, address, { HTTPS_PROXY: url, http_proxy: url });
    begin();
    t.equal((await call(PLAIN)).status, 502);
  }
  const { begin, call } = await proxyTo(t, 'http://127.0.0.1:1', { HTTP_PROXY: url, NO_PROXY: '127.0.0.1' });
  begin();
  await call(PLAIN);
  t.same(targets, ['CONNECT model.example:443 HTTP/1.1', `POST http://model.example${PLAIN} HTTP/1.1`]);
});
