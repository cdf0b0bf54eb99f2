import { createServer, type IncomingHttpHeaders } from 'node:http';
import t from 'tap';
import type { Run } from '../../schemas/run.ts';
import { call, events, run } from '../helpers/client.ts';
import { listen } from '../helpers/listen.ts';
import { makeWorld, type Owner, REPO, startServerProcess } from '../helpers/server.ts';

type Value = { stringValue?: string; intValue?: number | string };
type OtlpSpan = {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: { key: string; value: Value }[];
  events?: { name: string }[];
  links?: { traceId: string; spanId: string }[];
  status: { code?: number; message?: string };
};

/** A collector on loopback that takes OTLP over HTTP as JSON (https://opentelemetry.io/docs/specs/otlp/#otlphttp). */
async function startCollector(t: Owner) {
  const spans: OtlpSpan[] = [];
  const requests: { url: string | undefined; headers: IncomingHttpHeaders; resource: unknown }[] = [];
  const watchers = new Set<() => void>();
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = JSON.parse(Buffer.concat(chunks).toString());
    for (const { resource, scopeSpans } of body.resourceSpans) {
      requests.push({ url: request.url, headers: request.headers, resource });
      for (const scope of scopeSpans) spans.push(...scope.spans);
    }
    response.setHeader('content-type', 'application/json').end('{}');
    for (const watch of watchers) watch();
  });
  return {
    url: await listen(t, server),
    requests,
    /** Returns all spans of a run once its root span has arrived, which is exported last. */
    trace(runId: string): Promise<OtlpSpan[]> {
      const traceId = runId.replaceAll('-', '');
      return new Promise((resolve) => {
        const check = () => {
          const found = spans.filter((span) => span.traceId === traceId);
          if (!found.some((span) => span.parentSpanId === undefined)) return;
          watchers.delete(check);
          resolve(found);
        };
        watchers.add(check);
        check();
      });
    },
  };
}

function attributes(span: OtlpSpan | undefined): Record<string, string | number | undefined> {
  return Object.fromEntries(
    (span?.attributes ?? []).map(({ key, value }) => [key, value.stringValue ?? Number(value.intValue)]),
  );
}

const TOKEN = 'a-token-of-the-collector';
const PLAN =
  '# Add notes\n\n## Goal\n\nSay more.\n\n## Files to change\n\nNOTE.md\n\n## Steps\n\n1. Write.\n\n## Tests\n\nNone.\n\n## Risks\n\nNone.';
const write = (file_path: string, content: string) => ({
  calls: [{ name: 'write_file', args: { file_path, content } }],
});
const world = await makeWorld(t);

t.test('the server exports a run as one trace', async (t) => {
  const collector = await startCollector(t);
  const server = await startServerProcess(t, world, {
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_EXPORTER_OTLP_HEADERS: `authorization=Bearer%20${TOKEN},x-tenant=acme`,
    OTEL_SERVICE_NAME: 'pullwright-test',
  });
  world.gemini.on(/Action: make_plan/, [{ text: PLAN }]);
  world.gemini.on(/Action: dev/, [write('NOTE.md', `The token is ${TOKEN}.\n`), { text: 'Done.' }]);
  t.equal((await call(server, 'POST', '/v1/tickets', { ticket_id: 'T-1', repo_url: REPO })).status, 201);
  t.equal((await run(server, 'T-1', { action: 'make_plan' })).run.state, 'succeeded');

  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const { run: ended } = await run(server, 'T-1', { action: 'dev', message: 'add a note' }, { traceparent });
  const spans = await collector.trace(ended.run_id);

  const root = spans.find((span) => span.parentSpanId === undefined);
  t.equal(root?.name, 'run dev');
  t.match(root?.links, [{ traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331' }]);
  t.match(attributes(root), {
    'pullwright.run.id': ended.run_id,
    'pullwright.ticket.id': 'T-1',
    'pullwright.outcome': ended.state,
    'gen_ai.agent.name': 'gemini',
    'gen_ai.usage.input_tokens': ended.usage.input_tokens,
    'gen_ai.usage.output_tokens': ended.usage.output_tokens,
  });
  const ms = (nano: string | undefined) => Number(BigInt(nano ?? 0) / 1_000_000n);
  t.equal(ms(root?.startTimeUnixNano), Date.parse(ended.created_at));
  t.ok(ms(root?.endTimeUnixNano) >= Date.parse(ended.finished_at ?? ''));

  const children = spans.filter((span) => span.parentSpanId === root?.spanId).map(({ name }) => name);
  t.ok(children.includes('queue'));
  t.ok(children.includes('step workspace'));
  const agent = spans.find(({ name }) => name === 'step agent');
  t.ok(agent?.events?.some(({ name }) => name === 'model call'));
  const tool = spans.find(({ name }) => name === 'tool edit');
  t.equal(tool?.parentSpanId, agent?.spanId, 'a tool call is a child of its step');
  for (const span of spans) t.ok(BigInt(span.endTimeUnixNano) >= BigInt(span.startTimeUnixNano), span.name);

  // The file holds a secret of the server, so the run fails and its trace names the error.
  t.match(root?.status, { code: 2 });
  t.equal(attributes(root)['error.type'], 'secret_in_diff');
  t.notMatch(JSON.stringify(spans), TOKEN);

  const [request] = collector.requests;
  t.match(request, { url: '/v1/traces', headers: { authorization: `Bearer ${TOKEN}`, 'x-tenant': 'acme' } });
  t.match(JSON.stringify(request?.resource), /"service.name".*"pullwright-test"/);

  t.test('the server exports a run of /command, too', async (t) => {
    world.gemini.on('what is it', [{ text: 'A library.' }]);
    const body = JSON.stringify({ ticket_id: 'T-1', action: 'chat', message: 'what is it' });
    const headers = { 'content-type': 'application/json', traceparent };
    const answer = await fetch(new URL('/command', server.url), { method: 'POST', headers, body });
    await answer.text();
    const found = await collector.trace(answer.headers.get('x-run-id') ?? '');
    const chat = found.find((span) => span.parentSpanId === undefined);
    t.match(chat, { name: 'run chat', links: [{ spanId: 'b7ad6b7169203331' }] });
    t.notOk(chat?.status.code === 2);
  });
});

t.test('a run that continues after a crash has one trace', async (t) => {
  const collector = await startCollector(t);
  const settings = {
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    VERIFY_COMMAND: '["sh","-c","test -e go || sleep 600"]',
  };
  const own = await makeWorld(t);
  own.gemini.on(/Action: make_plan/, [{ text: PLAN }]);
  own.gemini.on(/Action: dev/, [write('NEW.md', 'on\n'), { text: 'Done.' }]);
  const first = await startServerProcess(t, own, { ...settings, VERIFY_COMMAND: '["sleep","600"]' });
  t.equal((await call(first, 'POST', '/v1/tickets', { ticket_id: 'C-1', repo_url: REPO })).status, 201);
  t.equal((await run(first, 'C-1', { action: 'make_plan' })).run.state, 'succeeded');
  const ask = { action: 'dev', message: 'add a file' };
  const { run_id } = (await call<Run>(first, 'POST', '/v1/tickets/C-1/runs', ask)).body;
  await events(first, run_id, {
    until: (event) => event.type === 'step.started' && event.data.step === 'verify',
  });
  await first.stop('SIGKILL');

  const second = await startServerProcess(t, own, { ...settings, VERIFY_COMMAND: '["true"]' });
  t.equal((await events(second, run_id)).at(-1)?.type, 'run.succeeded');
  const spans = await collector.trace(run_id);
  t.equal(spans.filter((span) => span.parentSpanId === undefined).length, 1);
  t.equal(spans.filter(({ name }) => name === 'step agent').length, 1, 'the trace includes the work before the crash');
  const verify = spans.filter(({ name }) => name === 'step verify').map(({ status }) => status.message ?? '');
  t.strictSame(verify.sort(), ['', 'interrupted']);
  t.ok(spans.some(({ name }) => name === 'step push'));
});

t.test('runs succeed when the collector does not answer', async (t) => {
  const own = await makeWorld(t);
  const server = await startServerProcess(t, own, { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' });
  own.gemini.on('what is it', [{ text: 'A library.' }]);
  t.equal((await call(server, 'POST', '/v1/tickets', { ticket_id: 'D-1', repo_url: REPO })).status, 201);
  for (let count = 0; count < 2; count += 1) {
    const { run: ended } = await run(server, 'D-1', { action: 'chat', message: 'what is it' });
    t.equal(ended.state, 'succeeded');
  }
  await server.logged(({ msg }) => msg === 'failed to export traces');
  t.match(await server.stop(), { code: 0 });
});
