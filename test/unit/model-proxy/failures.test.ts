import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import t from 'tap';
import { event, KEY, makeProxy, PLAIN, proxyTo, requestWith, responseTo, STREAM, textIn, usage } from './fixtures.ts';

t.test('the proxy passes on an error for the agent with the key redacted', async (t) => {
  const words = `Consumer 'api_key:${KEY}' is tired`;
  const { begin, call, notified } = await makeProxy(t, (response, { body }) => {
    const status = Number(textIn(body));
    response.writeHead(status, { 'content-type': 'application/json', 'retry-after': '7', location: 'http://x/' });
    response.end(status === 413 ? '<html>' : JSON.stringify({ error: { code: status, message: words } }));
  });
  begin();
  for (const status of [302, 400, 404, 413]) {
    const answer = await call(PLAIN, { body: requestWith(String(status)) });
    t.equal(answer.status, status);
    t.equal(answer.headers['retry-after'], '7');
    t.notOk(answer.headers.location);
    t.notMatch(answer.body, KEY);
    if (status !== 413) t.match(JSON.parse(answer.body).error, { message: "Consumer 'api_key:[redacted]' is tired" });
  }
  t.same(notified, []);
});

const google = (code: number, message: string, ...details: object[]) => ({ error: { code, message, details } });
const rpc = (type: string, fields: object) => ({ '@type': `type.googleapis.com/google.rpc.${type}`, ...fields });

t.test('the proxy fails the turn at once when a retry cannot help', async (t) => {
  const perDay = rpc('QuotaFailure', {
    violations: [{ quotaId: 'GenerateRequestsPerDayPerProjectPerModel-FreeTier' }],
  });
  const cases: [status: number, body: object, code: string, message: RegExp][] = [
    [401, google(401, 'Invalid credentials.'), 'agent_auth', /refused the key \(401\): Invalid credentials/],
    [403, google(403, 'Not allowed.'), 'agent_auth', /\(403\): Not allowed/],
    [400, google(400, 'API key expired.'), 'agent_auth', /API key expired/],
    [400, google(400, 'Bad.', rpc('ErrorInfo', { reason: 'API_KEY_INVALID' })), 'agent_auth', /Bad/],
    [429, google(429, 'Used up.', perDay, rpc('RetryInfo', { retryDelay: '1s' })), 'model_quota_exhausted', /Used up/],
    [429, google(429, 'Quota exceeded for x, limit: 0, model: y'), 'model_quota_exhausted', /limit: 0/],
  ];
  for (const [status, body, code, message] of cases) {
    const { begin, call, notified, received } = await makeProxy(t, (response) => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
    begin();
    t.equal((await call(STREAM)).status, 403, 'a status after which the agent does not retry');
    t.equal((await call(STREAM)).status, 403);
    t.match(notified, [{ code, message }], 'the failure is reported');
    t.equal(notified.length, 1, 'once');
    t.equal(received.length, 1, 'no further call reaches the model');
  }
});

t.test('the proxy retries transient errors after the delay that the model requests, and reports them', async (t) => {
  const failures = [
    (response: ServerResponse) => {
      const body = google(429, 'Too fast. Please retry in 0.01s.');
      response.writeHead(429, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    },
    (response: ServerResponse) => response.writeHead(503, { 'retry-after': '0' }).end('<html>'),
    (response: ServerResponse) => response.destroy(),
    (response: ServerResponse) =>
      response.writeHead(200, { 'content-type': 'text/event-stream' }).end('data: {"candidates": oops\n\n'),
  ];
  const { begin, call, notified, received } = await makeProxy(t, (response) => {
    const failure = failures.shift();
    if (failure) failure(response);
    else response.writeHead(200, { 'content-type': 'text/event-stream' }).end(event(usage(4, 2)));
  });
  begin();
  const first = await call(STREAM, { body: requestWith('x') });
  t.match(first, { status: 200, body: event(usage(4, 2)) }, 'the agent receives only the successful response');
  t.same(
    received.map(({ body }) => body),
    Array(5).fill(requestWith('x')),
  );
  t.match(notified, [
    { warning: /^The model limits the rate \(429\): Too fast\. .* Retrying in 2 s \(attempt 2 of 5\)\.$/ },
    { warning: 'The model failed (503): no reason given. Retrying in 0 s (attempt 3 of 5).' },
    { warning: /^Could not reach the model \(ECONNRESET\)\. Retrying in \d s \(attempt 4 of 5\)\.$/ },
    { input_tokens: Number, output_tokens: 0 },
    { warning: /^The model failed: its response is not valid JSON\. Retrying/ },
    { input_tokens: 4, output_tokens: 2 },
  ]);
});

t.test('the proxy stops retrying after five attempts, before a long delay and near the time limit', async (t) => {
  const { begin, call, notified, received } = await makeProxy(t, (response) => {
    response.writeHead(503, { 'retry-after': '0', 'content-type': 'application/json' });
    response.end(JSON.stringify(google(503, 'The model is overloaded.')));
  });
  begin();
  t.equal((await call(STREAM)).status, 403);
  t.equal(received.length, 5, 'five attempts');
  t.match(notified.at(-1), { code: 'model_failed', message: 'The model failed (503): The model is overloaded.' });

  const slow = await makeProxy(t, (response) => {
    response.writeHead(429, { 'content-type': 'application/json' });
    response.end(JSON.stringify(google(429, 'Later.', rpc('RetryInfo', { retryDelay: '3600s' }))));
  });
  slow.begin();
  t.equal((await slow.call(STREAM)).status, 403);
  t.equal(slow.received.length, 1, 'no retry before a long delay');
  t.match(slow.notified, [{ warning: /429/ }, { code: 'model_rate_limited', retryAfter: 3600 }]);

  const nowhere = await proxyTo(t, 'http://127.0.0.1:1');
  nowhere.begin({ unit: 'seconds', limit: 100, used: 99.5 });
  t.equal((await nowhere.call(PLAIN)).status, 403);
  const words = 'Could not reach the model (ECONNREFUSED).';
  t.match(
    nowhere.notified,
    [{ warning: words }, { code: 'model_failed', message: words }],
    'no retry after the time limit of the run',
  );
});

t.test('the proxy does not retry a call when the agent has received a part of the response', async (t) => {
  const answering = Promise.withResolvers<ServerResponse>();
  const { begin, send, notified, received } = await makeProxy(t, (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write(event(usage(5, 5)));
    answering.resolve(response);
  });
  begin();
  const answer = await responseTo(send(STREAM));
  await once(answer, 'data');
  (await answering.promise).write('data: garbage\n\n');
  await t.rejects(text(answer));
  t.equal(received.length, 1);
  t.match(notified, [
    { input_tokens: 5, output_tokens: 5 },
    { warning: 'The model failed in the middle of its response: its response is not valid JSON.' },
    { code: 'model_failed' },
  ]);
});
