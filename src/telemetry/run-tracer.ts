import { setTimeout as pause } from 'node:timers/promises';
import { TraceFlags } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, RandomIdGenerator, type SpanExporter, TracerProvider } from '@opentelemetry/sdk-trace';
import type { RunEvent } from '../../schemas/event.ts';
import type { Logger } from '../config/logger.ts';
import { makeSpans, type TracedRun } from './span-tree.ts';

/** For an export with its retries. */
const EXPORT_TIMEOUT_MS = 5000;
const CLOSE_TIMEOUT_MS = 1000;
/** `ExportResultCode.SUCCESS` of @opentelemetry/core. */
const EXPORTED = 0;
/** https://www.w3.org/TR/trace-context/#traceparent-header */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:$|-)/;

export type RunTracer = ReturnType<typeof createRunTracer>;

/** Exports traces of runs by OTLP over HTTP. If the collector does not answer, logs one warning and skips the traces. */
export function createRunTracer(options: {
  endpoint: string;
  headers: Readonly<Record<string, string>>;
  serviceName: string;
  version: string;
  logger: Logger;
}) {
  const { endpoint, headers, serviceName, version, logger } = options;
  const url = `${endpoint.replace(/\/+$/, '')}/v1/traces`;
  const exporter = new OTLPTraceExporter({ url, headers: { ...headers }, timeoutMillis: EXPORT_TIMEOUT_MS });
  const processor = new BatchSpanProcessor({
    exporter: withFailureLog(exporter, new URL(endpoint).origin, logger),
    exportTimeoutMillis: EXPORT_TIMEOUT_MS,
    scheduledDelayMillis: 1000,
  });
  const resource = resourceFromAttributes({ 'service.name': serviceName, 'service.version': version });
  const ids = new RandomIdGenerator();

  return {
    /**
     * Exports the trace of a finished run. The trace id is the run id without dashes.
     * @param traceparent header of the request that started the run; the trace links to it
     */
    send(run: TracedRun, events: readonly RunEvent[], traceparent: string | undefined): void {
      const idGenerator = {
        // A UUID has the length of a trace id.
        generateTraceId: () => run.run_id.replaceAll('-', ''),
        generateSpanId: ids.generateSpanId,
      };
      const provider = new TracerProvider({ resource, idGenerator, spanProcessors: [processor] });
      makeSpans(provider.getTracer('pullwright', version), run, events, linksTo(traceparent));
    },

    /** Exports pending traces, for at most a second. */
    async close(): Promise<void> {
      const finished = new AbortController();
      const sent = processor.shutdown().catch(() => {});
      await Promise.race([sent, pause(CLOSE_TIMEOUT_MS, undefined, { signal: finished.signal }).catch(() => {})]);
      finished.abort();
    },
  };
}

function linksTo(traceparent: string | undefined) {
  const [, traceId, spanId] = TRACEPARENT.exec(traceparent ?? '') ?? [];
  if (traceId === undefined || spanId === undefined) return [];
  return [{ context: { traceId, spanId, traceFlags: TraceFlags.NONE, isRemote: true } }];
}

/** Wraps an exporter to log when exports start to fail, and when they succeed again. */
function withFailureLog(exporter: SpanExporter, collector: string, logger: Logger): SpanExporter {
  let failing = false;
  return {
    export(spans, done) {
      exporter.export(spans, (result) => {
        const failed = result.code !== EXPORTED;
        if (failed && !failing) logger.warn({ err: result.error, collector }, 'failed to export traces');
        if (!failed && failing) logger.info({ collector }, 'exporting traces again');
        failing = failed;
        done(result);
      });
    },
    shutdown: () => exporter.shutdown(),
    forceFlush: async () => exporter.forceFlush?.(),
  };
}
