import { request } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import t from 'tap';
import { COUNT, event, json, makeProxy, PLAIN, requestWith, responseTo, STREAM, usage } from './fixtures.ts';
import { ADMITTED, REFUSED, REFUSED_TEXTS, snakeCase, snakeName } from './request-bodies.ts';

/** The name of the model in a request for countTokens. */
const model = 'models/gemini-2.5-pro';
const counted = (request: object) => ({ generateContentRequest: { model, ...request } });
const NOT_FORWARDED = 'The server does not forward this call to the model:';

t.test('the proxy forwards each field of the allow-list in canonical form, in either spelling', async (t) => {
  const { begin, call, received, notified } = await makeProxy(t, (response) => json(response, {}));
  begin();
  for (const version of ['v1', 'v1beta', 'v1alpha']) {
    for (const [path, request] of [
      [STREAM, ADMITTED],
      [PLAIN, ADMITTED],
      [COUNT, { contents: ADMITTED.contents }],
      [COUNT, counted(ADMITTED)],
    ] as const) {
      for (const body of [request, snakeCase(request)]) {
        const answer = await call(path.replace('v1beta', version), { body: ` ${JSON.stringify(body, null, 1)}\n` });
        t.equal(answer.status, 200, answer.body);
        const sent = received.at(-1)?.body ?? '';
        t.same(JSON.parse(sent), request, `${version} ${path}`);
        t.equal(sent, JSON.stringify(JSON.parse(sent)), 'in canonical form');
      }
    }
  }
  t.notOk(notified.some((one) => 'warning' in one));
});

t.test('the proxy refuses a request and names the field when the allow-list does not contain it', async (t) => {
  const { begin, call, received, notified } = await makeProxy(t, (response) => json(response, {}));
  begin();
  const refused = async (path: string, target: string, body: string) => {
    const answer = await call(target, { body });
    const message = `${NOT_FORWARDED} it must not contain ${path}.`;
    t.match(answer, {
      status: 403,
      body: JSON.stringify({ error: { code: 403, message, status: 'PERMISSION_DENIED' } }),
    });
    t.same(notified.at(-1), { warning: `Refused a model call: it must not contain ${path}.` });
  };
  for (const [path, request] of REFUSED) {
    const whole = { ...ADMITTED, ...request };
    for (const target of [STREAM, PLAIN]) await refused(path, target, JSON.stringify(whole));
    await refused(snakeName(path), PLAIN, JSON.stringify(snakeCase(whole)));
    await refused(`generateContentRequest.${path}`, COUNT, JSON.stringify(counted(request)));
  }
  for (const [path, body] of REFUSED_TEXTS) await refused(path, PLAIN, body);
  for (const [path, request] of [
    ['model', { model, contents: [] }],
    ['tools', { contents: [], tools: [] }],
    ['generateContentRequest.model', { generateContentRequest: { ...ADMITTED } }],
    ['generateContentRequest.model', { generateContentRequest: { ...ADMITTED, model: 'models/gemini-ultra' } }],
  ] as const) {
    await refused(path, COUNT, JSON.stringify(request));
  }
  await refused('model', PLAIN, JSON.stringify({ model, contents: [] }));
  t.same(received, [], 'no request reached the model');
});

t.test('the warning about a refused call shortens and escapes the name of the field', async (t) => {
  const { begin, call, notified } = await makeProxy(t, (response) => json(response, {}));
  begin();
  const name = `${'x'.repeat(500)}`;
  t.equal((await call(PLAIN, { body: JSON.stringify({ 'a\nb\u202e': 1 }) })).status, 403);
  t.equal((await call(PLAIN, { body: JSON.stringify({ tools: [{ [name]: 1 }] }) })).status, 403);
  t.same(notified, [
    { warning: 'Refused a model call: it must not contain a\\u{a}b\\u{202e}.' },
    { warning: `Refused a model call: it must not contain tools[0].${'x'.repeat(60)}….` },
  ]);
});

t.test('the proxy refuses a call when the settings do not allow the model', async (t) => {
  for (const [settings, allowed, refused] of [
    [{}, ['gemini-3.1-pro-preview', 'gemini-2.5-pro', 'gemini-3.5-flash-lite'], ['gemini-ultra', 'gemini-2.5-pro-exp']],
    [{ GEMINI_MODEL: 'gemini-2.5-flash' }, ['gemini-2.5-flash', 'gemini-3.5-flash-lite'], ['gemini-2.5-pro', 'veo-3']],
  ] as const) {
    const { begin, call, received, notified } = await makeProxy(t, (response) => json(response, {}), { settings });
    begin();
    const ask = async (name: string) => (await call(PLAIN.replace('gemini-2.5-pro', name))).status;
    for (const name of allowed) t.equal(await ask(name), 200, name);
    for (const name of refused) {
      t.equal(await ask(name), 403, name);
      t.same(notified.at(-1), { warning: `Refused a model call: the settings do not allow the model ${name}.` });
    }
    t.equal(received.length, allowed.length);
  }
});

const MIB = 1024 * 1024;

t.test('the proxy refuses a body when it is nested too deeply, has too many values or is not JSON', async (t) => {
  const { begin, call, received, notified } = await makeProxy(t, (response) => json(response, {}));
  begin();
  const inArgs = (value: string) =>
    `{"contents":[{"role":"model","parts":[{"functionCall":{"name":"x","args":{"a":${value}}}}]}]}`;
  const nested = (depth: number) => inArgs('['.repeat(depth) + ']'.repeat(depth));
  for (const [status, body] of [
    [200, nested(50)],
    [413, nested(60)],
    [413, inArgs(`${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`)],
    [413, '['.repeat(100)],
    [413, '['.repeat(31 * MIB)],
    [413, '{"a":'.repeat(6 * MIB)],
    [413, inArgs(`[${'0,'.repeat(MIB)}0]`)],
    [413, inArgs(`[${'{},'.repeat(MIB)}0]`)],
    [413, inArgs(`{${'"":0,'.repeat(MIB)}"":0}`)],
    [413, '""'.repeat(MIB)],
    [200, inArgs(JSON.stringify('[{",\\'.repeat(MIB)))],
    [400, ''],
    [400, '{'],
    [400, ' '.repeat(MIB)],
    [400, "{'tools':[]}"],
    [400, '{"tools":[]}{}'],
    [400, '/**/{}'],
    [400, '\ufeff{}'],
  ] as const) {
    const before = [received.length, notified.length];
    t.equal((await call(STREAM, { body })).status, status, `${body.slice(0, 90)} (${body.length})`);
    if (status === 200) t.equal(received.length, Number(before[0]) + 1);
    else t.match(notified.slice(before[1]), [{ warning: /its body is (?:nested too deeply or has|not JSON)/ }]);
  }
});

t.test('the proxy checks a large request and inserts hints into it', async (t) => {
  const { begin, call, received, notified } = await makeProxy(t, (response) => json(response, usage(1, 1)));
  begin({ unit: 'turns', limit: 10, used: 9 });
  const long = { inlineData: { mimeType: 'text/plain', data: 'ü'.repeat(8 * MIB) } };
  const parts = [{ text: 'fix it' }, long];
  const answer = await call(STREAM, { body: JSON.stringify({ contents: [{ role: 'user', parts }], tools: [] }) });
  t.equal(answer.status, 200);
  const hint = { text: 'near THE_LIMIT: 9 of 10 turns used' };
  t.same(JSON.parse(received[0]?.body ?? ''), { contents: [{ role: 'user', parts: [...parts, hint] }], tools: [] });

  begin();
  const asked = { contents: [{ role: 'user', parts }], tools: [{ urlContext: {} }] };
  t.equal((await call(STREAM, { body: JSON.stringify(asked) })).status, 403);
  t.match(notified.at(-1), { warning: /it must not contain tools\[0\]\.urlContext/ });
  t.equal(received.length, 1);
});

t.test('the proxy inserts a hint into the last entry, whatever the entries contain', async (t) => {
  const { begin, call, received } = await makeProxy(t, (response) => json(response, usage(1, 1)));
  begin({ unit: 'turns', limit: 10, used: 9 });
  const contents = [
    { role: 'user', parts: [{ text: ']}' }] },
    { role: 'model', parts: [] },
    { parts: [], role: 'user' },
  ];
  await call(STREAM, { body: JSON.stringify({ systemInstruction: { parts: [] }, contents }) });
  const near = { text: 'near THE_LIMIT: 9 of 10 turns used' };
  t.same(JSON.parse(received[0]?.body ?? ''), {
    contents: [contents[0], contents[1], { role: 'user', parts: [near] }],
    systemInstruction: { parts: [] },
  });
});

t.test('the proxy aborts a response when it is nested too deeply', async (t) => {
  const deep = `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
  const { begin, call, notified } = await makeProxy(t, (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write(event(usage(1, 1)));
    response.end(`data: ${deep}\n\n`);
  });
  begin();
  await t.rejects(call(STREAM));
  t.match(notified.at(-1), { code: 'model_failed', message: /its response is not valid JSON/ });
});

t.test('the proxy refuses a call when its body is complete only after the turn', async (t) => {
  const { begin, proxy, url, received } = await makeProxy(t, (response) => json(response, {}));
  const admitted = Promise.withResolvers<void>();
  const end = begin(undefined, admitted.resolve);
  const body = requestWith('x');
  const sent = request(url + PLAIN, {
    method: 'POST',
    headers: { 'x-goog-api-key': proxy.token, 'content-length': body.length },
  });
  sent.write(body.slice(0, 10));
  await admitted.promise;
  end();
  sent.end(body.slice(10));
  t.equal((await responseTo(sent)).statusCode, 403);
  t.same(received, []);
});

t.test('the proxy limits the number of pipelined calls on a connection', async (t) => {
  const { begin, url, proxy, received } = await makeProxy(t, (response) => json(response, {}));
  begin();
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  const body = requestWith('x');
  const head = `POST ${PLAIN} HTTP/1.1\r\nhost: x\r\nx-goog-api-key: ${proxy.token}\r\ncontent-length: ${body.length}\r\n`;
  socket.write(`${head}\r\n${body}`.repeat(99).concat(`${head}connection: close\r\n\r\n${body}`));
  const answers = await text(socket);
  t.equal(answers.match(/^HTTP\/1\.1 200/gm)?.length, 64);
  t.match(answers, /HTTP\/1\.1 403 Forbidden[\s\S]*Too many concurrent calls\./);
  t.equal(received.length, 64);
});
