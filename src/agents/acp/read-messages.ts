import type { Readable } from 'node:stream';
import { AppError } from '../../errors/app-error.ts';
import { createJsonScan } from '../../json/scan.ts';
import { createPace, readPaced } from './pace.ts';

/** Longest message in bytes: an edit of a file carries it twice. */
const MAX_MESSAGE = 8 * 1024 * 1024;
const MAX_SHAPE = { depth: 64, values: 100_000 };
/** What a message counts beside its bytes: many small ones are work too. */
const MESSAGE_COST = 512;
const NEWLINE = 0x0a;

/**
 * Reads JSON values from a stream, one a line, no faster than they are taken and than the pace of a stream allows. Lines
 * that are not JSON are left out: agents print to stdout by mistake.
 * @param title name of the agent, for errors
 * @throws AppError `agent_protocol` for a message that is too long, too deep or of too many values; the error of the stream
 */
export async function* readMessages(stream: Readable, title: string): AsyncGenerator<unknown> {
  const pace = createPace();
  const held = createLineBuffer();
  for await (const chunk of readPaced(stream, pace)) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      const line = held.take(chunk.subarray(start, end));
      start = end + 1;
      if (line === undefined) throw tooLarge(title, `a message of more than ${MAX_MESSAGE} bytes`);
      await pace(MESSAGE_COST);
      if (!createJsonScan(MAX_SHAPE).push(line))
        throw tooLarge(title, 'a message nested too deeply, or of too many values');
      const message = parse(line);
      if (message !== undefined) yield message;
    }
    if (!held.add(chunk.subarray(start))) throw tooLarge(title, `a message of more than ${MAX_MESSAGE} bytes`);
  }
}

/** Holds the beginning of a line, in memory that is proportional to it, however small the pieces are. */
function createLineBuffer() {
  let buffer = Buffer.alloc(0);
  let length = 0;

  /** Returns false, and holds nothing new, when the line is too long. */
  function add(piece: Buffer): boolean {
    if (length + piece.length > MAX_MESSAGE) return false;
    if (length + piece.length > buffer.length) {
      const larger = Buffer.alloc(Math.max(length + piece.length, 2 * buffer.length));
      buffer.copy(larger, 0, 0, length);
      buffer = larger;
    }
    length += piece.copy(buffer, length);
    return true;
  }

  return {
    add,

    /** Completes the line with its last piece; undefined when it is too long. */
    take(last: Buffer): Buffer | undefined {
      if (length === 0 && last.length <= MAX_MESSAGE) return last;
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

function tooLarge(title: string, what: string): AppError {
  return new AppError('agent_protocol', `${title} broke the protocol: it sent ${what}.`);
}
