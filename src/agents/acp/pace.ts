import type { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';

/** Average rate of one stream of an agent, and the largest burst. */
const BYTES_PER_SECOND = 4 * 1024 * 1024;
const MAX_BURST_BYTES = 16 * 1024 * 1024;

/** Counts bytes. Returns a promise to await when the rate is too high. */
export type Pace = (bytes: number) => Promise<void> | undefined;

/** Creates the rate limit of one stream, a leaky bucket. */
export function createPace(): Pace {
  let level = 0;
  let at = performance.now();
  return (bytes) => {
    const now = performance.now();
    level = Math.max(0, level - ((now - at) / 1000) * BYTES_PER_SECOND) + bytes;
    at = now;
    const excess = level - MAX_BURST_BYTES;
    return excess <= 0 ? undefined : pause((excess / BYTES_PER_SECOND) * 1000, undefined, { ref: false });
  };
}

/**
 * Reads a stream no faster than its pace. Unread data fills the socket and blocks the writer.
 * @throws the error of the stream, or of its early destruction
 */
export async function* readPaced(stream: Readable, pace: Pace): AsyncGenerator<Buffer> {
  for await (const chunk of stream) {
    await pace(chunk.length);
    yield chunk;
  }
}
