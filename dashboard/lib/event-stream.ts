import { PullwrightError } from '../../client/problem.ts';
import { type ConnectionState, followStream } from '../../client/streams.ts';
import { endSession } from './session.ts';

type Entry = Parameters<typeof followStream>[0]['read'];

type Options<T> = {
  path: string;
  lastId?: string;
  read(message: Parameters<Entry>[0]): T;
  isLast(entry: T): boolean;
  onEntry(entry: T): void;
  /** Is told how many attempts failed one after another. */
  onConnection?(failed: number): void;
  /** The server has said that there is no such stream, or none any more. */
  onRefused?(refusal: PullwrightError): void;
};

/**
 * Follows a stream of the server as the client does, until it has ended for good. When the network is back, or a tab is
 * looked at again, it does not wait any longer to try again.
 */
export function openStream<T>(options: Options<T>): { close(): void } {
  const { path, lastId, read, isLast, onEntry, onConnection, onRefused } = options;
  let attempt = new AbortController();
  let last = lastId;
  let failed = 0;
  let closed = false;
  const wake = () => {
    if (failed > 0 && document.visibilityState === 'visible') attempt.abort();
  };
  document.addEventListener('visibilitychange', wake);
  window.addEventListener('online', wake);
  void run();
  return { close };

  function close(): void {
    closed = true;
    document.removeEventListener('visibilitychange', wake);
    window.removeEventListener('online', wake);
    attempt.abort();
  }

  function tell({ state }: ConnectionState): void {
    failed = state === 'open' ? 0 : failed + 1;
    onConnection?.(failed);
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
      onConnection: tell,
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
