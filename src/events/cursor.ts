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

export type Cursor = { stream: Readable; end: () => void };

const HEARTBEAT_MS = 15_000;
/** Entries read at once. */
const [SMALLEST_PAGE, LARGEST_PAGE] = [8, 256];

/**
 * A stream of frames that reads on when its reader wants more, so that a stalled one holds no buffer. While there is nothing
 * to send, a comment every 15 s keeps proxies open.
 */
export function createCursor<Entry>(source: Source<Entry>): Cursor {
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
      clearInterval(heartbeat);
      unwatch();
      callback(error);
    },
  });
  const unwatch = source.watch({ wake: () => void advance(), end });
  const heartbeat = setInterval(() => {
    if (wanted && !reading && !ended) stream.push(':\n\n');
  }, HEARTBEAT_MS).unref();
  stream.push(source.opening);
  return { stream, end };

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
