import { setTimeout as pause } from 'node:timers/promises';
import { TraceFlags } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, RandomIdGenerator, type SpanExporter, TracerProvider } from '@opentelemetry/sdk-trace';
import type { RunEvent } from '../../schemas/event.ts';
import type { Logger } from '../config/logger.ts';
import { makeSpans, type TracedRun } from './span-tree.ts';

/** How long sending may take in milliseconds, with its repetitions. */
const SEND_MS = 5000;
/** How long a server that stops waits for it. */
const CLOSE_MS = 1000;
/** `ExportResultCode.SUCCESS` of @opentelemetry/core. */
const EXPORTED = 0;
/** https://www.w3.org/TR/trace-context/#traceparent-header */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:$|-)/;

export type RunTracer = ReturnType<typeof createRunTracer>;

/** Sends traces of runs by OTLP over HTTP. One collector that does not answer costs the traces, and a line in the log. */
export function createRunTracer(options: {
  endpoint: string;
  headers: Readonly<Record<string, string>>;
  serviceName: string;
  version: string;
  logger: Logger;
}) {
  const { endpoint, headers, serviceName, version, logger } = options;
  const url = `${endpoint.replace(/\/+$/, '')}/v1/traces`;
  const exporter = new OTLPTraceExporter({ url, headers: { ...headers }, timeoutMillis: SEND_MS });
  const processor = new BatchSpanProcessor({
    exporter: telling(exporter, new URL(endpoint).origin, logger),
    exportTimeoutMillis: SEND_MS,
    scheduledDelayMillis: 1000,
  });
  const resource = resourceFromAttributes({ 'service.name': serviceName, 'service.version': version });
  const ids = new RandomIdGenerator();

  return {
    /**
     * Sends the trace of a run that has ended. Its id is the run's, so whoever knows the run finds the trace.
     * @param traceparent header of the request that started the run, if it had one; the trace is linked to it
     */
    send(run: TracedRun, events: readonly RunEvent[], traceparent: string | undefined): void {
      const idGenerator = {
        // A UUID is as long as the id of a trace.
        generateTraceId: () => run.run_id.replaceAll('-', ''),
        generateSpanId: ids.generateSpanId,
      };
      const provider = new TracerProvider({ resource, idGenerator, spanProcessors: [processor] });
      makeSpans(provider.getTracer('pullwright', version), run, events, linksTo(traceparent));
    },

    /** Sends what is left, for a second at most. */
    async close(): Promise<void> {
      const over = new AbortController();
      const sent = processor.shutdown().catch(() => {});
      await Promise.race([sent, pause(CLOSE_MS, undefined, { signal: over.signal }).catch(() => {})]);
      over.abort();
    },
  };
}

function linksTo(traceparent: string | undefined) {
  const [, traceId, spanId] = TRACEPARENT.exec(traceparent ?? '') ?? [];
  if (traceId === undefined || spanId === undefined) return [];
  return [{ context: { traceId, spanId, traceFlags: TraceFlags.NONE, isRemote: true } }];
}

/** The exporter, with a line in the log when it begins to fail and one when it works again. */
function telling(exporter: SpanExporter, collector: string, logger: Logger): SpanExporter {
  let failing = false;
  return {
    export(spans, done) {
      exporter.export(spans, (result) => {
        const failed = result.code !== EXPORTED;
        if (failed && !failing) logger.warn({ err: result.error, collector }, 'traces are not delivered');
        if (!failed && failing) logger.info({ collector }, 'traces are delivered again');
        failing = failed;
        done(result);
      });
    },
    shutdown: () => exporter.shutdown(),
    ...(exporter.forceFlush ? { forceFlush: () => exporter.forceFlush?.() ?? Promise.resolve() } : {}),
  };
}
