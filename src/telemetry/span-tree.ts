import {
  type Attributes,
  type Link,
  ROOT_CONTEXT,
  type Span,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { type RunEvent, TERMINAL_EVENTS } from '../../schemas/event.ts';

/** Attributes of a trace that the events of its run do not contain. */
export type TracedRun = {
  run_id: string;
  ticket_id: string;
  action: string;
  agent: string;
  attempt: number;
  created_at: string;
};

const MAX_TITLE = 200;

/**
 * Creates the spans of a finished run from its events, the root first: the wait in the queue, and the steps with their tool
 * calls and permission requests. Spans that a crash of the server interrupted end at the start of the next attempt.
 * @param tracer gives the first span the trace id
 */
export function makeSpans(tracer: Tracer, run: TracedRun, events: readonly RunEvent[], links: Link[]): void {
  const root = tracer.startSpan(`run ${run.action}`, {
    root: true,
    startTime: new Date(run.created_at),
    links,
    attributes: {
      'pullwright.run.id': run.run_id,
      'pullwright.ticket.id': run.ticket_id,
      'pullwright.action': run.action,
      'pullwright.attempts': run.attempt,
      'gen_ai.agent.name': run.agent,
    },
  });
  const open = new Map<string, Span>();
  let step = root;

  function begin(key: string, name: string, parent: Span, event: RunEvent, attributes: Attributes = {}): Span {
    const context = trace.setSpan(ROOT_CONTEXT, parent);
    const span = tracer.startSpan(name, { startTime: new Date(event.time), attributes }, context);
    open.set(key, span);
    return span;
  }

  function end(key: string, event: RunEvent, error?: string): void {
    const span = open.get(key);
    open.delete(key);
    if (error !== undefined) span?.setStatus({ code: SpanStatusCode.ERROR, message: error });
    span?.end(new Date(event.time));
  }

  function endAll(event: RunEvent, error: string | undefined): void {
    for (const key of [...open.keys()].reverse()) end(key, event, error);
    step = root;
  }

  function addSpanEvent(event: RunEvent, name: string, attributes: Attributes): void {
    step.addEvent(name, attributes, new Date(event.time));
  }

  for (const event of events) {
    switch (event.type) {
      case 'run.queued':
        begin('queue', 'queue', root, event);
        break;
      case 'run.started':
        end('queue', event);
        endAll(event, 'interrupted');
        break;
      case 'step.started':
        step = begin('step', `step ${event.data.step}`, root, event);
        break;
      case 'step.finished':
        end('step', event);
        step = root;
        break;
      case 'tool.started':
        begin(`tool ${event.data.tool_call_id}`, `tool ${event.data.kind ?? 'other'}`, step, event, {
          'gen_ai.tool.call.id': event.data.tool_call_id,
          'pullwright.tool.title': (event.data.title ?? '').slice(0, MAX_TITLE),
        });
        break;
      case 'tool.updated':
        if (event.data.status === 'completed') end(`tool ${event.data.tool_call_id}`, event);
        if (event.data.status === 'failed') end(`tool ${event.data.tool_call_id}`, event, 'failed');
        break;
      case 'permission.requested':
        begin(`permission ${event.data.permission_id}`, 'permission', step, event);
        break;
      case 'permission.resolved':
        open
          .get(`permission ${event.data.permission_id}`)
          ?.setAttribute('pullwright.permission.decision', event.data.decision);
        end(`permission ${event.data.permission_id}`, event);
        break;
      case 'usage.updated':
        addSpanEvent(event, 'model call', { 'gen_ai.response.model': event.data.model ?? '', ...tokens(event.data) });
        break;
      case 'commit.created':
        addSpanEvent(event, 'commit', { 'vcs.ref.head.revision': event.data.sha });
        break;
      case 'branch.pushed':
        addSpanEvent(event, 'push', { 'vcs.ref.head.name': event.data.ref, 'vcs.ref.head.revision': event.data.sha });
        break;
      case 'pull_request.opened':
      case 'pull_request.updated':
        addSpanEvent(event, 'pull request', { 'vcs.change.id': String(event.data.number), 'url.full': event.data.url });
        break;
    }
    if (TERMINAL_EVENTS.has(event.type)) endRun(event);
  }

  function endRun(event: RunEvent): void {
    if (!('usage' in event.data) || !('duration_ms' in event.data)) return;
    const { usage } = event.data;
    const error = 'error' in event.data ? event.data.error : undefined;
    endAll(event, error?.code);
    root.setAttributes({ 'pullwright.outcome': event.type.slice('run.'.length), ...tokens(usage) });
    if (error !== undefined) {
      root.setAttribute('error.type', error.code);
      root.setStatus({ code: SpanStatusCode.ERROR, message: error.detail });
    }
    root.end(new Date(event.time));
  }
}

function tokens(usage: { input_tokens: number; output_tokens: number; cached_tokens: number }): Attributes {
  return {
    'gen_ai.usage.input_tokens': usage.input_tokens,
    'gen_ai.usage.output_tokens': usage.output_tokens,
    'gen_ai.usage.cache_read.input_tokens': usage.cached_tokens,
  };
}
