import { createServer } from 'node:http';
import { pino } from 'pino';
import t from 'tap';
import type { RunEvent } from '../../../schemas/event.ts';
import { listenOnLoopback } from '../../../src/sandbox/socket-forward.ts';
import { createRunTracer } from '../../../src/telemetry/run-tracer.ts';

t.test('close() does not wait for retries when the collector fails', async (t) => {
  let requests = 0;
  const collector = await listenOnLoopback(
    createServer((_request, response) => {
      requests += 1;
      response.writeHead(503, { 'retry-after': '3' }).end();
    }),
  );
  t.teardown(collector.close);
  const tracer = createRunTracer({
    endpoint: collector.url,
    headers: {},
    serviceName: 'pullwright',
    version: '0',
    logger: pino({ level: 'silent' }),
  });
  const run_id = '01234567-89ab-7def-8123-456789abcdef';
  const time = new Date().toISOString();
  const usage = { input_tokens: 0, output_tokens: 0, cached_tokens: 0 };
  const ended: RunEvent = {
    run_id,
    seq: 1,
    time,
    type: 'run.succeeded',
    data: { result: { text: '' }, usage, duration_ms: 1 },
  };
  const run = { run_id, ticket_id: 'T-1', action: 'chat', agent: 'gemini', attempt: 1, created_at: time };
  tracer.send(run, [ended], undefined);
  await tracer.close();
  t.notOk(requests > 1, 'the exporter did not retry');
});
