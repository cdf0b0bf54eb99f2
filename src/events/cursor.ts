import { Readable } from 'node:stream';
import type { Watcher } from './event-log.ts';

/** What a cursor reads: a position of its own in something that grows. */
export type Source<Entry> = {
  /** What comes first in the stream. */
  opening: string;
  /** Calls the watcher when there is more, and when there will be nothing any more; until the returned function is called. */
  watch(watcher: Watcher): () => void;
  /** Entries after the position, in order, at most `limit`; the position stays. */
  read(limit: number): Promise<readonly Entry[]>;
  /** Moves the position behind an entry; what to send of it, `undefined` when the stream is to end before it. */
  take(entry: Entry): { frame: string; last?: boolean } | undefined;
};

export type Cursor = {
  stream: Readable;
  end: () => void;
  /** Sends a comment, which keeps proxies open, while there is nothing else to send. */
  keepAlive: () => void;
};

/** Entries read at once. */
const [SMALLEST_PAGE, LARGEST_PAGE] = [8, 256];

/**
 * A stream of frames that reads on when its reader wants more, so that a stalled one holds no buffer.
 * @param onClose called once, however the stream ends
 */
export function createCursor<Entry>(source: Source<Entry>, onClose: () => void): Cursor {
  let wanted = false;
  let reading = false;
  let woken = false;
  let ended = false;
  let page = LARGEST_PAGE;

  const stream = new Readable({
    read() {
      wanted = true;
      void advance();
    },
    destroy(error, callback) {
      unwatch();
      onClose();
      callback(error);
    },
  });
  const unwatch = source.watch({ wake: () => void advance(), end });
  stream.push(source.opening);
  return { stream, end, keepAlive };

  function keepAlive(): void {
    if (wanted && !reading && !ended) stream.push(':\n\n');
  }

  /** Pushes what there is beyond the position for as long as the reader wants more. */
  async function advance(): Promise<void> {
    woken = true;
    if (!wanted || reading || ended || stream.destroyed) return;
    reading = true;
    try {
      while (wanted && woken && !ended) {
        woken = false;
        const entries = await source.read(page);
        if (ended || stream.destroyed) return;
        push(entries);
      }
    } catch (error) {
      stream.destroy(error instanceof Error ? error : new Error(String(error)));
    } finally {
      reading = false;
    }
  }

  /** What the reader does not want yet is read again later, not kept; so no more is read than it took last. */
  function push(entries: readonly Entry[]): void {
    let taken = 0;
    for (const entry of entries) {
      woken = true;
      taken++;
      const told = source.take(entry);
      if (told !== undefined && told.frame !== '') wanted = stream.push(told.frame);
      if (told === undefined || told.last === true) end();
      if (ended || !wanted) break;
    }
    page = Math.min(LARGEST_PAGE, Math.max(SMALLEST_PAGE, taken * 2));
  }

  function end(): void {
    if (ended) return;
    ended = true;
    stream.push(null);
  }
}
