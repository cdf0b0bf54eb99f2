import type { FastifyReply } from 'fastify';
import fp from 'fastify-plugin';
import { type RunEvent, TERMINAL_EVENTS } from '../../schemas/event.ts';

/** Events that are read at once. */
const PAGE = 1000;
/** Requests whose runs have not ended, and whose `traceparent` is remembered. */
const MAX_REMEMBERED = 10_000;
/** What a trace does not tell is not kept for it. */
const UNTOLD: ReadonlySet<string> = new Set(['message.delta', 'thought.delta', 'plan.entries', 'log']);

/**
 * Traces of runs, when `OTEL_EXPORTER_OTLP_ENDPOINT` is set. A trace is made from the log of events when its run ends, so a
 * run that went on after a restart has one like any other; only the link to the request that began it is lost then.
 */
export default fp<{ version: string }>(
  async (app, { version }) => {
    const { config, eventLog, log, store } = app;
    const endpoint = config.OTEL_EXPORTER_OTLP_ENDPOINT;
    if (endpoint === undefined) return;
    // Only here: without the setting, none of it costs memory.
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
      if (runId !== undefined && parents.size < MAX_REMEMBERED) parents.set(runId, String(traceparent));
      done();
    });

    const sending = new Set<Promise<void>>();
    eventLog.observe((runId, events) => {
      if (!events.some(({ type }) => TERMINAL_EVENTS.has(type))) return;
      const sent = send(runId)
        .catch((error) => log.warn({ err: error, run_id: runId }, 'the trace of a run was not made'))
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
      const told: RunEvent[] = [];
      for (let after = 0; ; ) {
        const page = await eventLog.read(runId, after, PAGE);
        told.push(...page.filter(({ type }) => !UNTOLD.has(type)));
        if (page.length < PAGE) return told;
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

/** The run that a request has started, as its answer names it; a repetition of the request has started none. */
function startedRun(reply: FastifyReply): string | undefined {
  if (reply.hasHeader('idempotent-replayed')) return undefined;
  const header = reply.getHeader('x-run-id') ?? reply.getHeader('location');
  return /^(?:\/v1\/runs\/)?([0-9a-f-]{36})$/.exec(String(header))?.[1];
}
