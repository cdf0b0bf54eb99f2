import type { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';

/** What one stream of an agent may carry: so much a second on average, and so much at once. */
const BYTES_PER_SECOND = 4 * 1024 * 1024;
const MAX_BURST = 16 * 1024 * 1024;

/** Counts bytes; returns a promise to wait for when there have been too many in too short a time. */
export type Pace = (bytes: number) => Promise<void> | undefined;

/** Creates the pace of one stream, a leaky bucket. */
export function createPace(): Pace {
  let level = 0;
  let at = performance.now();
  return (bytes) => {
    const now = performance.now();
    level = Math.max(0, level - ((now - at) / 1000) * BYTES_PER_SECOND) + bytes;
    at = now;
    const excess = level - MAX_BURST;
    return excess <= 0 ? undefined : pause((excess / BYTES_PER_SECOND) * 1000, undefined, { ref: false });
  };
}

/**
 * Reads a stream no faster than its pace. What is not read fills the socket, and then stops its writer.
 * @throws the error of the stream, also when it is destroyed before its end
 */
export async function* readPaced(stream: Readable, pace: Pace): AsyncGenerator<Buffer> {
  for await (const chunk of stream) {
    await pace(chunk.length);
    yield chunk;
  }
}
