import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { checkType, PullwrightError } from './problem.ts';

/** `open`: connected; `lost`: not connected, the next attempt is in `retryMs`. */
export type ConnectionState = { state: 'open' } | { state: 'lost'; retryMs: number };

type Stream<T> = {
  baseUrl: string;
  path: string;
  headers: Record<string, string>;
  fetch: typeof globalThis.fetch;
  /** `Last-Event-ID` of the first connection. */
  lastId?: string;
  signal?: AbortSignal;
  onConnection?: (state: ConnectionState) => void;
  read(message: EventSourceMessage): T;
  isLast(entry: T): boolean;
};

/** Three intervals of the server's heartbeat. */
const INACTIVITY_TIMEOUT_MS = 45_000;
const MIN_RETRY_MS = 1000;
const MAX_RETRY_MS = 30_000;
/** Client errors (4xx) that a retry can overcome. */
const RETRYABLE = new Set([408, 425, 429]);

/**
 * Yields server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html) until the last one. Reconnects
 * when a connection fails and resumes after the last event that it yielded.
 * @throws PullwrightError when the server refuses permanently, or the answer did not come from a Pullwright server; the
 *   reason of the signal when it is aborted
 */
export async function* followStream<T>(stream: Stream<T>): AsyncGenerator<T> {
  const { signal, onConnection } = stream;
  let lastId = stream.lastId;
  let retryMs = MIN_RETRY_MS;
  let failures = 0;
  let wasConnected = false;
  for (;;) {
    signal?.throwIfAborted();
    let wait = 0;
    const connection = new AbortController();
    const abort = () => connection.abort(signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      const response = await abortOnInactivity(connect(stream, lastId, connection.signal), connection);
      if (response.status === 204) return;
      if (response.ok && response.body !== null) {
        checkType(response, /^text\/event-stream\b/);
        wasConnected = true;
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
        if (response.status < 500 && !RETRYABLE.has(response.status)) throw refusal;
        wait = retryAfter(response);
      }
    } catch (error) {
      if (signal?.aborted) throw error;
      // Once connected, a foreign answer is that of a proxy whose server is down.
      const isTransient =
        error instanceof PullwrightError ? wasConnected && error.code === 'not_pullwright' : isConnectionFailure(error);
      if (!isTransient) throw error;
    } finally {
      signal?.removeEventListener('abort', abort);
      connection.abort();
    }
    wait = Math.max(wait, Math.min(retryMs * 2 ** failures++, MAX_RETRY_MS) * (0.75 + Math.random() / 4));
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

/** Yields the messages of one answer. Heartbeats are comments: they yield no message and reset the inactivity timer. */
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
    const { done, value } = await abortOnInactivity(reader.read(), connection);
    if (done) return;
    parser.feed(decoder.decode(value, { stream: true }));
    yield* queue.splice(0);
  }
}

/** Awaits a promise, and aborts the connection when it does not resolve in time. */
async function abortOnInactivity<T>(promise: Promise<T>, connection: AbortController): Promise<T> {
  const timer = setTimeout(
    () => connection.abort(new DOMException('no data from the server', 'TimeoutError')),
    INACTIVITY_TIMEOUT_MS,
  );
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
  }
}

/** Converts `Retry-After`, in seconds or as a date (RFC 9110 §10.2.3), to milliseconds. */
function retryAfter(response: Response): number {
  const header = response.headers.get('retry-after') ?? '';
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Number.isNaN(ms) ? 0 : Math.max(ms, 0);
}

/** `fetch` and the body of its response reject with a TypeError; an aborted connection rejects with a DOMException. */
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
