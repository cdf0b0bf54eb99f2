import { createParser } from 'eventsource-parser';
import { failureOf, type RequestFailed } from './problem.ts';
import { signedOut } from './session.ts';

/** `failed` counts the attempts that failed one after another. */
export type StreamState = { name: 'connecting' | 'open' | 'closed'; failed: number };

type Options = {
  path: string;
  lastId?: string;
  onEvent(event: string, data: string, id: string | undefined): void;
  onState?(state: StreamState): void;
  /** The server has said that there is no such stream, or none any more. */
  onRefused?(failure: RequestFailed): void;
};

/** The server says something every 15 s; after this much silence the connection is taken for dead. */
const SILENCE_MS = 45_000;
const LONGEST_PAUSE_MS = 15_000;

/**
 * Follows a stream of server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html) until it has
 * ended for good: it comes back by the last id after a cut, a clean end, a restart of the server, and sleep.
 */
export function follow({ path, lastId, onEvent, onState, onRefused }: Options): { close(): void } {
  let id = lastId;
  let failed = 0;
  let closed = false;
  let connection = new AbortController();
  let lastByte = Date.now();
  let wake = () => {};
  const look = () => {
    if (document.visibilityState === 'visible' && Date.now() - lastByte > SILENCE_MS / 2) connection.abort();
    wake();
  };
  document.addEventListener('visibilitychange', look);
  window.addEventListener('online', look);
  void run();
  return { close };

  function close(): void {
    if (closed) return;
    closed = true;
    document.removeEventListener('visibilitychange', look);
    window.removeEventListener('online', look);
    connection.abort();
    wake();
    tell('closed');
  }

  function tell(name: StreamState['name']): void {
    onState?.({ name, failed });
  }

  async function run(): Promise<void> {
    while (!closed) {
      tell('connecting');
      connection = new AbortController();
      const pause = await once().catch(() => undefined);
      if (closed) return;
      if (pause === undefined) failed++;
      tell('connecting');
      await sleep(pause ?? Math.min(LONGEST_PAUSE_MS, 500 * 2 ** Math.min(failed, 6)) * (0.75 + Math.random() / 2));
    }
  }

  /** @returns the time to wait until the next attempt, in milliseconds, when this one was no failure */
  async function once(): Promise<number | undefined> {
    const { signal } = connection;
    const response = await fetch(path, {
      headers: { accept: 'text/event-stream', ...(id === undefined ? {} : { 'last-event-id': id }) },
      cache: 'no-store',
      signal,
    });
    if (response.status === 204) {
      close();
      return undefined;
    }
    if (!response.ok || response.body === null) return refused(await failureOf(response));
    failed = 0;
    lastByte = Date.now();
    tell('open');
    const watch = setInterval(() => {
      if (Date.now() - lastByte > SILENCE_MS) connection.abort();
    }, 5000);
    try {
      const parser = createParser({
        onEvent(event) {
          if (closed) return;
          id = event.id ?? id;
          onEvent(event.event ?? 'message', event.data, id);
        },
      });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let part = await reader.read(); !part.done && !closed; part = await reader.read()) {
        lastByte = Date.now();
        parser.feed(part.value);
      }
    } finally {
      clearInterval(watch);
    }
    return 300;
  }

  function refused(failure: RequestFailed): number | undefined {
    const { status } = failure.problem;
    if (status === 401) signedOut();
    if (status >= 400 && status < 500 && status !== 408 && status !== 429) {
      close();
      onRefused?.(failure);
      return undefined;
    }
    failed++;
    return failure.retryAfter === undefined ? undefined : failure.retryAfter * 1000;
  }

  function sleep(time: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, time);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
