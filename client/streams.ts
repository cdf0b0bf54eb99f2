import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { checkType, PullwrightError } from './problem.ts';

/** `open`: the server answers; `lost`: it does not, and is asked again in `retryMs`. */
export type ConnectionState = { state: 'open' } | { state: 'lost'; retryMs: number };

type Stream<T> = {
  baseUrl: string;
  path: string;
  headers: Record<string, string>;
  fetch: typeof globalThis.fetch;
  /** `Last-Event-ID` to begin with. */
  lastId?: string;
  signal?: AbortSignal;
  onConnection?: (state: ConnectionState) => void;
  read(message: EventSourceMessage): T;
  isLast(entry: T): boolean;
};

/** The server sends a comment every 15 s: after three that did not come, the connection is taken for dead. */
const SILENCE_MS = 45_000;
const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 30_000;
/** Refusals that pass; any other tells that asking again would not help. */
const PASSING = new Set([408, 425, 429]);

/**
 * Reads server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html) until the last one, over as
 * many connections as it takes. The next one begins after the last event that was given out.
 * @throws PullwrightError when the server refuses for good, or what answers is not Pullwright; the signal's reason when it is aborted
 */
export async function* followStream<T>(stream: Stream<T>): AsyncGenerator<T> {
  const { signal, onConnection } = stream;
  let lastId = stream.lastId;
  let retryMs = FIRST_RETRY_MS;
  let failures = 0;
  let wasOurs = false;
  for (;;) {
    signal?.throwIfAborted();
    let wait = 0;
    const connection = new AbortController();
    const end = () => connection.abort(signal?.reason);
    signal?.addEventListener('abort', end, { once: true });
    try {
      const response = await withinSilence(connect(stream, lastId, connection.signal), connection);
      if (response.status === 204) return;
      if (response.ok && response.body !== null) {
        checkType(response, /^text\/event-stream\b/);
        wasOurs = true;
        onConnection?.({ state: 'open' });
        for await (const message of messages(response.body, connection, (ms) => {
          retryMs = ms;
        })) {
          failures = 0;
          const entry = stream.read(message);
          lastId = message.id ?? lastId;
          yield entry;
          if (stream.isLast(entry)) return;
        }
      } else {
        const refusal = new PullwrightError(response.status, await response.json().catch(() => undefined));
        if (response.status < 500 && !PASSING.has(response.status)) throw refusal;
        wait = retryAfter(response);
      }
    } catch (error) {
      if (signal?.aborted) throw error;
      // A connection that could not be made, or broke, is made anew; so is one to what was Pullwright before: something on the
      // way may answer in its place for a while.
      const isPassing =
        error instanceof PullwrightError ? wasOurs && error.code === 'not_pullwright' : isConnectionFailure(error);
      if (!isPassing) throw error;
    } finally {
      signal?.removeEventListener('abort', end);
      connection.abort();
    }
    wait = Math.max(wait, Math.min(retryMs * 2 ** failures++, LONGEST_RETRY_MS) * (0.75 + Math.random() / 4));
    onConnection?.({ state: 'lost', retryMs: wait });
    await pause(wait, signal);
  }
}

function connect<T>({ baseUrl, path, headers, fetch }: Stream<T>, lastId: string | undefined, signal: AbortSignal) {
  const id: Record<string, string> = lastId === undefined ? {} : { 'last-event-id': lastId };
  return fetch(new URL(path, baseUrl), {
    headers: { ...headers, ...id, accept: 'text/event-stream' },
    cache: 'no-store',
    signal,
  });
}

/** The messages of one answer. Comments count as a sign of life, though no message comes of them. */
async function* messages(
  body: ReadableStream<Uint8Array>,
  connection: AbortController,
  onRetry: (ms: number) => void,
): AsyncGenerator<EventSourceMessage> {
  const queue: EventSourceMessage[] = [];
  const parser = createParser({ onEvent: (message) => queue.push(message), onRetry });
  const decoder = new TextDecoder();
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await withinSilence(reader.read(), connection);
    if (done) return;
    parser.feed(decoder.decode(value, { stream: true }));
    yield* queue.splice(0);
  }
}

/** What is waited for, unless nothing comes for too long: then the connection is given up. */
async function withinSilence<T>(waitedFor: Promise<T>, connection: AbortController): Promise<T> {
  const timer = setTimeout(
    () => connection.abort(new DOMException('the server fell silent', 'TimeoutError')),
    SILENCE_MS,
  );
  try {
    return await waitedFor;
  } finally {
    clearTimeout(timer);
  }
}

/** Milliseconds that `Retry-After` asks for, in seconds or as a date (RFC 9110 §10.2.3). */
function retryAfter(response: Response): number {
  const header = response.headers.get('retry-after') ?? '';
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Number.isNaN(ms) ? 0 : Math.max(ms, 0);
}

/** `fetch` and its body fail with a TypeError, whatever the network did; a connection that was given up with a DOMException. */
function isConnectionFailure(error: unknown): boolean {
  return error instanceof TypeError || error instanceof DOMException;
}

async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal?.addEventListener('abort', stop, { once: true });
  });
}
