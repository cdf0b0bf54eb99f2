import { Readable } from 'node:stream';
import type { Watcher } from './event-log.ts';

/** A growing log and the position of one reader in it. */
export type Source<Entry> = {
  /** First text of the stream. */
  opening: string;
  /** Calls the watcher when the log grows or ends. Returns a function that stops the calls. */
  watch(watcher: Watcher): () => void;
  /** Reads at most `limit` entries after the position, which stays the same. */
  read(limit: number): Promise<readonly Entry[]>;
  /** Moves the position after an entry and returns its frame; returns `undefined` to end the stream before the entry. */
  take(entry: Entry): { frame: string; last?: boolean } | undefined;
};

export type Cursor = {
  stream: Readable;
  end: () => void;
  /** Sends a comment while no frame is pending, so that proxies keep the connection open. */
  keepAlive: () => void;
};

/** Number of entries of one read. */
const MIN_PAGE = 8;
const MAX_PAGE = 256;

/**
 * Creates a stream of frames that reads from its source on demand, so that a stalled client needs no buffer.
 * @param onClose called once, however the stream ends
 */
export function createCursor<Entry>(source: Source<Entry>, onClose: () => void): Cursor {
  let wanted = false;
  let reading = false;
  let woken = false;
  let ended = false;
  let page = MAX_PAGE;

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

  /** Pushes the entries after the position while the client wants more. */
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

  /** Pushes entries while the client wants more. A later read returns the other entries, so the page size follows the demand. */
  function push(entries: readonly Entry[]): void {
    let taken = 0;
    for (const entry of entries) {
      woken = true;
      taken++;
      const result = source.take(entry);
      if (result !== undefined && result.frame !== '') wanted = stream.push(result.frame);
      if (result === undefined || result.last === true) end();
      if (ended || !wanted) break;
    }
    page = Math.min(MAX_PAGE, Math.max(MIN_PAGE, taken * 2));
  }

  function end(): void {
    if (ended) return;
    ended = true;
    stream.push(null);
  }
}
