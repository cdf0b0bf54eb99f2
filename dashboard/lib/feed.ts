import { follow, type StreamState } from './sse.ts';
import { createStore } from './store.ts';

type Message =
  | { kind: 'event'; type: string; data: string }
  | { kind: 'state'; state: StreamState }
  | { kind: 'hello' };

/** How the one stream of this browser is doing, as all of its tabs see it. */
export const connection = createStore<StreamState>({ name: 'connecting', failed: 0 });

const NAME = 'pullwright-feed';

/**
 * Follows the server's feed of changes. All tabs of a browser share one stream: the tab that holds the lock reads it and
 * tells the others; when it closes, another one takes over. A tab that cannot be told by others reads by itself.
 * @param onEvent called with each change
 * @returns a function that ends it
 */
export function followFeed(onEvent: (type: string, data: string) => void): () => void {
  const channel = new BroadcastChannel(NAME);
  const leaving = new AbortController();
  let leads = false;
  let stream: { close(): void } | undefined;

  channel.addEventListener('message', ({ data: message }: MessageEvent<Message>) => {
    if (message.kind === 'event') onEvent(message.type, message.data);
    else if (message.kind === 'state') connection.set(message.state);
    else if (leads) channel.postMessage({ kind: 'state', state: connection.get() } satisfies Message);
  });

  function lead(): Promise<void> {
    leads = true;
    stream = follow({
      path: '/v1/events',
      onEvent(type, data) {
        channel.postMessage({ kind: 'event', type, data } satisfies Message);
        onEvent(type, data);
      },
      onState(state) {
        connection.set(state);
        if (!leaving.signal.aborted) channel.postMessage({ kind: 'state', state } satisfies Message);
      },
    });
    return new Promise((resolve) => leaving.signal.addEventListener('abort', () => resolve()));
  }

  // Locks are there in secure contexts only.
  if ('locks' in navigator) {
    navigator.locks.request(NAME, { signal: leaving.signal }, lead).catch(() => {});
    channel.postMessage({ kind: 'hello' } satisfies Message);
  } else void lead();

  return () => {
    leaving.abort();
    stream?.close();
    channel.close();
  };
}
