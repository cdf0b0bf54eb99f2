import { PullwrightError } from '../../client/problem.ts';
import { type ConnectionState, followStream } from '../../client/streams.ts';
import { endSession } from './session.ts';

type Message = Parameters<Parameters<typeof followStream>[0]['read']>[0];

type Options<T> = {
  path: string;
  lastId?: string;
  read(message: Message): T;
  isLast(entry: T): boolean;
  onEntry(entry: T): void;
  /** Receives the number of consecutive failed attempts, 0 after a success. */
  onConnection?(failures: number): void;
  /** Receives the error of a request that the server refused. The stream is closed. */
  onRefused?(refusal: PullwrightError): void;
};

/**
 * Reads a stream of the server through `client/`, which reconnects and resumes. When the network returns or the tab becomes
 * visible, the next attempt starts immediately.
 */
export function openStream<T>(options: Options<T>): { close(): void } {
  const { path, lastId, read, isLast, onEntry, onConnection, onRefused } = options;
  let attempt = new AbortController();
  let last = lastId;
  let failures = 0;
  let closed = false;
  const retryNow = () => {
    if (failures > 0 && document.visibilityState === 'visible') attempt.abort();
  };
  document.addEventListener('visibilitychange', retryNow);
  window.addEventListener('online', retryNow);
  void run();
  return { close };

  function close(): void {
    closed = true;
    document.removeEventListener('visibilitychange', retryNow);
    window.removeEventListener('online', retryNow);
    attempt.abort();
  }

  function countFailures({ state }: ConnectionState): void {
    failures = state === 'open' ? 0 : failures + 1;
    onConnection?.(failures);
  }

  async function run(): Promise<void> {
    while (!closed) {
      attempt = new AbortController();
      try {
        await readAll(attempt.signal);
        close();
      } catch (error) {
        if (closed || !(error instanceof PullwrightError)) continue;
        close();
        if (error.status === 401) endSession();
        onRefused?.(error);
      }
    }
  }

  async function readAll(signal: AbortSignal): Promise<void> {
    const stream = followStream({
      baseUrl: location.origin,
      path,
      headers: {},
      fetch,
      ...(last === undefined ? {} : { lastId: last }),
      signal,
      onConnection: countFailures,
      read: (message) => ({ entry: read(message), id: message.id }),
      isLast: ({ entry }) => isLast(entry),
    });
    for await (const { entry, id } of stream) {
      if (closed) return;
      last = id ?? last;
      onEntry(entry);
    }
  }
}
