import type { Readable } from 'node:stream';
import { AppError } from '../../errors/app-error.ts';
import { createJsonScan } from '../../json/scan.ts';
import { createPace, readPaced } from './pace.ts';

/** Longest message: an edit of a file contains the file twice. */
const MAX_MESSAGE_BYTES = 8 * 1024 * 1024;
const MAX_SHAPE = { depth: 64, values: 100_000 };
/** Added to the size of each message, since many small ones cost time too. */
const MESSAGE_OVERHEAD_BYTES = 512;
const NEWLINE = 0x0a;

/**
 * Reads one JSON value a line, with back-pressure and no faster than the pace of a stream. Skips lines that are not JSON, which
 * agents print to stdout by mistake.
 * @param title name of the agent, for errors
 * @throws AppError `agent_protocol` for a message that is too long, too deep or has too many values; the error of the stream
 */
export async function* readMessages(stream: Readable, title: string): AsyncGenerator<unknown> {
  const pace = createPace();
  const buffer = createLineBuffer();
  for await (const chunk of readPaced(stream, pace)) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      const line = buffer.take(chunk.subarray(start, end));
      start = end + 1;
      if (line === undefined) throw tooLarge(title, `a message of more than ${MAX_MESSAGE_BYTES} bytes`);
      await pace(MESSAGE_OVERHEAD_BYTES);
      if (!createJsonScan(MAX_SHAPE).push(line))
        throw tooLarge(title, 'a message that is nested too deeply or has too many values');
      const message = parse(line);
      if (message !== undefined) yield message;
    }
    if (!buffer.add(chunk.subarray(start))) throw tooLarge(title, `a message of more than ${MAX_MESSAGE_BYTES} bytes`);
  }
}

/** Creates a buffer for the start of a line, whose memory is proportional to the line, however small the chunks are. */
function createLineBuffer() {
  let buffer = Buffer.alloc(0);
  let length = 0;

  /** Appends a chunk. @returns false when the line is too long */
  function add(chunk: Buffer): boolean {
    if (length + chunk.length > MAX_MESSAGE_BYTES) return false;
    if (length + chunk.length > buffer.length) {
      const larger = Buffer.alloc(Math.max(length + chunk.length, 2 * buffer.length));
      buffer.copy(larger, 0, 0, length);
      buffer = larger;
    }
    length += chunk.copy(buffer, length);
    return true;
  }

  return {
    add,

    /** Returns the line with its last chunk, and starts the next; undefined when it is too long. */
    take(last: Buffer): Buffer | undefined {
      if (length === 0 && last.length <= MAX_MESSAGE_BYTES) return last;
      if (!add(last)) return undefined;
      const line = buffer.subarray(0, length);
      buffer = Buffer.alloc(0);
      length = 0;
      return line;
    },
  };
}

function parse(line: Buffer): unknown {
  try {
    return JSON.parse(line.toString());
  } catch {
    return undefined;
  }
}

function tooLarge(title: string, message: string): AppError {
  return new AppError('agent_protocol', `${title} violated the protocol: it sent ${message}.`);
}
