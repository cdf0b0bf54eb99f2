import { randomBytes } from 'node:crypto';
import type { Redactor } from '../redaction/redactor.ts';

/** Size of the buffered frames, in characters. */
const MAX_BUFFERED_CHARS = 8_000_000;

/** A frame for all readers who may see its repository; without a repository, for the reader that requested it. */
export type Entry = { position: number; repoUrl?: string; frame: string };

/** Buffers the newest frames of the feed, for readers that resume. Positions count up without gaps. */
export function createFrameBuffer(redactor: Pick<Redactor, 'value'>) {
  /** Part of each id: positions of an earlier process are invalid. */
  const epoch = randomBytes(6).toString('hex');
  const entries: Entry[] = [];
  let newest = 0;
  let size = 0;

  /** Formats a frame of `text/event-stream`. */
  function format(position: number, type: string, data: object): string {
    return `id: ${epoch}-${position}\nevent: ${type}\ndata: ${JSON.stringify(redactor.value(data))}\n\n`;
  }

  return {
    format,

    /** Returns the position of the last entry. */
    newest: () => newest,

    append(repoUrl: string, type: string, data: object): void {
      newest++;
      const frame = format(newest, type, data);
      entries.push({ position: newest, repoUrl, frame });
      size += frame.length;
      while (size > MAX_BUFFERED_CHARS) size -= entries.shift()?.frame.length ?? size;
    },

    /** Returns at most `limit` entries after a position; undefined when the buffer does not hold all of them. */
    read(position: number, limit: number): readonly Entry[] | undefined {
      const oldest = newest - entries.length;
      if (position < oldest || position > newest) return undefined;
      return entries.slice(position - oldest, position - oldest + limit);
    },

    /** Removes all entries, so that every reader receives a new snapshot. */
    clear(): void {
      entries.length = 0;
      size = 0;
      newest++;
    },

    /** Parses the id of a frame of this process; returns undefined for any other id. */
    positionOf(id: string | undefined): number | undefined {
      const [, from, position] = /^([0-9a-f]{12})-(0|[1-9]\d{0,14})$/.exec(id ?? '') ?? [];
      return from === epoch ? Number(position) : undefined;
    },
  };
}
