import { StringDecoder } from 'node:string_decoder';
import type { Usage } from '../../schemas/run.ts';
import { createJsonScan } from '../json/scan.ts';

/** Longest event, or response that is not a stream, in characters. */
const MAX_PART_CHARS = 16 * 1024 * 1024;

/**
 * Creates a reader of the token counts in a response that is being forwarded: a JSON value, a list of them, or server-sent events.
 * Models report running totals, so the last one counts.
 * @param usageOf reads the count of one value
 */
export function createUsageReader(contentType: string, usageOf: (value: unknown) => Usage | undefined) {
  const decoder = new StringDecoder('utf8');
  const isStream = contentType.startsWith('text/event-stream');
  let rest = '';
  let usage: Usage | undefined;
  let isInvalid = false;

  function readValue(json: string): void {
    if (!createJsonScan().push(Buffer.from(json))) {
      isInvalid = true;
      return;
    }
    try {
      for (const value of [JSON.parse(json)].flat()) usage = usageOf(value) ?? usage;
    } catch {
      isInvalid = true;
    }
  }

  function readLines(lines: readonly string[]): void {
    for (const line of lines) if (line.startsWith('data:')) readValue(line.slice('data:'.length));
  }

  return {
    /** Whether each event can be forwarded as it arrives. */
    isStream,

    /** @returns false when the response is not valid JSON, or too large */
    push(chunk: Buffer): boolean {
      rest += decoder.write(chunk);
      if (isStream) {
        const lines = rest.split('\n');
        rest = lines.pop() ?? '';
        readLines(lines);
      }
      if (rest.length > MAX_PART_CHARS) isInvalid = true;
      return !isInvalid;
    },

    /** Reads the end of the response. @returns like `push` */
    end(): boolean {
      if (isStream) readLines([rest]);
      else readValue(rest);
      return !isInvalid;
    },

    /** Returns the tokens reported so far. */
    usage: () => usage,
  };
}
