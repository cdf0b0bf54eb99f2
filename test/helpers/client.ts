import { createParser, type EventSourceMessage } from 'eventsource-parser';
import type { RunEvent } from '../../schemas/event.ts';
import type { Run } from '../../schemas/run.ts';
import type { Server } from './server.ts';

export type Answer<T> = { status: number; headers: Headers; body: T };

/** Sends a request with a JSON body; the caller names the type of the response. */
// biome-ignore lint/suspicious/noExplicitAny: a test reads answers of every shape, and an assertion checks each
export async function call<T = any>(
  server: Pick<Server, 'url'>,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer<T>> {
  const response = await fetch(new URL(path, server.url), {
    method,
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    body: body === undefined ? null : JSON.stringify(body),
    redirect: 'manual',
  });
  const text = await response.text();
  const json = /json/.test(response.headers.get('content-type') ?? '');
  return { status: response.status, headers: response.headers, body: json ? JSON.parse(text) : text };
}

/** Yields the frames of an SSE response. Leaving the loop closes the connection. */
export async function* frames(response: Response): AsyncGenerator<EventSourceMessage> {
  if (response.body === null) return;
  const queue: EventSourceMessage[] = [];
  const parser = createParser({ onEvent: (event) => queue.push(event) });
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    parser.feed(chunk);
    yield* queue.splice(0);
  }
}

/** Reads the events of a run after `lastEventId`, up to the terminal one or the first that matches `until`. */
export async function events(
  server: Pick<Server, 'url'>,
  runId: string,
  options: { lastEventId?: number; until?: (event: RunEvent) => boolean; headers?: Record<string, string> } = {},
): Promise<RunEvent[]> {
  const response = await fetch(new URL(`/v1/runs/${runId}/events`, server.url), {
    headers: {
      ...(options.lastEventId === undefined ? {} : { 'last-event-id': String(options.lastEventId) }),
      ...options.headers,
    },
  });
  const seen: RunEvent[] = [];
  for await (const frame of frames(response)) {
    const event: RunEvent = JSON.parse(frame.data);
    seen.push(event);
    if (options.until?.(event)) break;
  }
  return seen;
}

/** Starts a run and waits until it has ended. */
export async function run(
  server: Server,
  ticketId: string,
  request: object,
  headers: Record<string, string> = {},
): Promise<{ run: Run; events: RunEvent[] }> {
  const started = await call<Run>(server, 'POST', `/v1/tickets/${ticketId}/runs`, request, headers);
  if (started.status !== 202) throw new Error(`the run did not start: ${JSON.stringify(started.body)}`);
  const seen = await events(server, started.body.run_id, { headers });
  const ended = await call<Run>(server, 'GET', `/v1/runs/${started.body.run_id}`, undefined, headers);
  return { run: ended.body, events: seen };
}

/** Returns the text of the agent in the events of a run. */
export function agentText(seen: readonly RunEvent[]): string {
  return seen.map((event) => (event.type === 'message.delta' ? event.data.text : '')).join('');
}
