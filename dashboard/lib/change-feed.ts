import { signal } from '@preact/signals';
import { type Change, readChange } from '../../client/changes.ts';
import { openStream } from './event-stream.ts';

type Message = { kind: 'change'; change: Change } | { kind: 'failures'; failures: number } | { kind: 'query' };

/** The number of consecutive failed attempts to reach the server, shared by all tabs of the browser. */
export const failedAttempts = signal(0);

const NAME = 'pullwright-feed';

/**
 * Follows the change feed of the server. All tabs of a browser share one stream: the tab that holds the lock reads it and
 * broadcasts each change. When that tab closes, another one takes over. Without Web Locks, each tab reads a stream itself.
 * @param onChange receives each change, and a snapshot when changes may have been missed
 * @returns a function that stops following
 */
export function followChangeFeed(onChange: (change: Change) => void): () => void {
  const channel = new BroadcastChannel(NAME);
  const closing = new AbortController();
  let isLeader = false;
  // The snapshot of a stream that opens with the page reports no change. Any later snapshot stands for missed changes.
  let forwardSnapshot = false;
  let stream: { close(): void } | undefined;

  channel.addEventListener('message', ({ data: message }: MessageEvent<Message>) => {
    if (message.kind === 'query') {
      if (isLeader) channel.postMessage({ kind: 'failures', failures: failedAttempts.value } satisfies Message);
      return;
    }
    forwardSnapshot = true;
    if (message.kind === 'change') onChange(message.change);
    else failedAttempts.value = message.failures;
  });

  function lead(): Promise<void> {
    isLeader = true;
    stream = openStream({
      path: '/v1/events',
      read: readChange,
      isLast: () => false,
      onEntry(change) {
        channel.postMessage({ kind: 'change', change } satisfies Message);
        if (change.type !== 'snapshot' || forwardSnapshot) onChange(change);
        forwardSnapshot = true;
      },
      onConnection(failures) {
        if (failures > 0) forwardSnapshot = true;
        failedAttempts.value = failures;
        if (!closing.signal.aborted) channel.postMessage({ kind: 'failures', failures } satisfies Message);
      },
    });
    return new Promise((resolve) => closing.signal.addEventListener('abort', () => resolve()));
  }

  // Web Locks exist in secure contexts only.
  if ('locks' in navigator) {
    navigator.locks.request(NAME, { signal: closing.signal }, lead).catch(() => {});
    channel.postMessage({ kind: 'query' } satisfies Message);
  } else void lead();

  return () => {
    closing.abort();
    stream?.close();
    channel.close();
  };
}
