import { signal } from '@preact/signals';
import { type Change, readChange } from '../../client/changes.ts';
import { openStream } from './event-stream.ts';

type Message = { kind: 'change'; change: Change } | { kind: 'failed'; failed: number } | { kind: 'hello' };

/** How many attempts to reach the server failed one after another, as all tabs of this browser see it. */
export const failedAttempts = signal(0);

const NAME = 'pullwright-feed';

/**
 * Follows the server's feed of changes. All tabs of a browser share one stream: the tab that holds the lock reads it and
 * tells the others; when it closes, another one takes over. A tab that cannot be told by others reads by itself.
 * @param onChange called with each change; a snapshot is one where changes may have been missed
 * @returns a function that ends it
 */
export function followChangeFeed(onChange: (change: Change) => void): () => void {
  const channel = new BroadcastChannel(NAME);
  const leaving = new AbortController();
  let leads = false;
  // A snapshot stands for changes that nobody told. Only the first one comes with the page, to a tab that reads the stream
  // from the start.
  let snapshotIsNews = false;
  let stream: { close(): void } | undefined;

  channel.addEventListener('message', ({ data: message }: MessageEvent<Message>) => {
    if (message.kind === 'hello') {
      if (leads) channel.postMessage({ kind: 'failed', failed: failedAttempts.value } satisfies Message);
      return;
    }
    snapshotIsNews = true;
    if (message.kind === 'change') onChange(message.change);
    else failedAttempts.value = message.failed;
  });

  function lead(): Promise<void> {
    leads = true;
    stream = openStream({
      path: '/v1/events',
      read: readChange,
      isLast: () => false,
      onEntry(change) {
        channel.postMessage({ kind: 'change', change } satisfies Message);
        if (change.type !== 'snapshot' || snapshotIsNews) onChange(change);
        snapshotIsNews = true;
      },
      onConnection(failed) {
        if (failed > 0) snapshotIsNews = true;
        failedAttempts.value = failed;
        if (!leaving.signal.aborted) channel.postMessage({ kind: 'failed', failed } satisfies Message);
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
