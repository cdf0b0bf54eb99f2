import type { FastifyReply } from 'fastify';
import fp from 'fastify-plugin';
import { type RunEvent, TERMINAL_EVENTS } from '../../schemas/event.ts';

const PAGE_SIZE = 1000;
/** Limits the requests whose `traceparent` is kept until their run finishes. */
const MAX_PARENTS = 10_000;
/** Event types that traces leave out. */
const UNTRACED: ReadonlySet<string> = new Set(['message.delta', 'thought.delta', 'plan.entries', 'log']);

/**
 * Exports traces of runs when `OTEL_EXPORTER_OTLP_ENDPOINT` is set. A trace is built from the event log when its run finishes,
 * so a restart loses only the link to the request that started the run.
 */
export default fp<{ version: string }>(
  async (app, { version }) => {
    const { config, eventLog, log, store } = app;
    const endpoint = config.OTEL_EXPORTER_OTLP_ENDPOINT;
    if (endpoint === undefined) return;
    // Imported here, so that the library takes no memory without the setting.
    const { createRunTracer } = await import('../../src/telemetry/run-tracer.ts');
    const tracer = createRunTracer({
      endpoint,
      headers: config.OTEL_EXPORTER_OTLP_HEADERS,
      serviceName: config.OTEL_SERVICE_NAME,
      version,
      logger: log,
    });

    const parents = new Map<string, string>();
    app.addHook('onSend', (request, reply, _payload, done) => {
      const { traceparent } = request.headers;
      const runId = typeof traceparent === 'string' ? startedRun(reply) : undefined;
      if (runId !== undefined && parents.size < MAX_PARENTS) parents.set(runId, String(traceparent));
      done();
    });

    const sending = new Set<Promise<void>>();
    eventLog.observe((runId, events) => {
      if (!events.some(({ type }) => TERMINAL_EVENTS.has(type))) return;
      const sent = send(runId)
        .catch((error) => log.warn({ err: error, run_id: runId }, 'failed to export the trace of a run'))
        .finally(() => sending.delete(sent));
      sending.add(sent);
    });

    async function send(runId: string): Promise<void> {
      const run = await store.runs.get(runId);
      const events = await readAll(runId);
      if (run !== undefined) tracer.send(run, events, parents.get(runId));
      parents.delete(runId);
    }

    async function readAll(runId: string): Promise<RunEvent[]> {
      const traced: RunEvent[] = [];
      for (let after = 0; ; ) {
        const page = await eventLog.read(runId, after, PAGE_SIZE);
        traced.push(...page.filter(({ type }) => !UNTRACED.has(type)));
        if (page.length < PAGE_SIZE) return traced;
        after = page.at(-1)?.seq ?? after;
      }
    }

    app.addHook('onClose', async () => {
      await Promise.all(sending);
      await tracer.close();
    });
  },
  { name: 'tracing', dependencies: ['config', 'store'] },
);

/** Returns the run that a request started, by the headers of its answer; undefined when the answer is replayed. */
function startedRun(reply: FastifyReply): string | undefined {
  if (reply.hasHeader('idempotent-replayed')) return undefined;
  const header = reply.getHeader('x-run-id') ?? reply.getHeader('location');
  return /^(?:\/v1\/runs\/)?([0-9a-f-]{36})$/.exec(String(header))?.[1];
}
