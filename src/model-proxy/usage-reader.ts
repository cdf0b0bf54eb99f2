import { StringDecoder } from 'node:string_decoder';
import type { Usage } from '../../schemas/run.ts';
import { createJsonScan } from '../json/scan.ts';

/** Longest part of an answer that is looked into, in characters. */
const MAX_PART = 16 * 1024 * 1024;

/**
 * Looks at an answer of a model while it passes by: a JSON value, a list of them, or server-sent events. Finds the tokens
 * in it: models count on while they speak, so what is told last is what holds.
 */
export function createUsageReader(contentType: string, usageOf: (value: unknown) => Usage | undefined) {
  const decoder = new StringDecoder('utf8');
  const isStream = contentType.startsWith('text/event-stream');
  let rest = '';
  let usage: Usage | undefined;
  let garbled = false;

  function take(json: string): void {
    if (!createJsonScan().push(Buffer.from(json))) {
      garbled = true;
      return;
    }
    try {
      for (const value of [JSON.parse(json)].flat()) usage = usageOf(value) ?? usage;
    } catch {
      garbled = true;
    }
  }

  function takeLines(lines: readonly string[]): void {
    for (const line of lines) if (line.startsWith('data:')) take(line.slice('data:'.length));
  }

  return {
    /** Whether it comes in events, each of which can be passed on. */
    isStream,

    /** @returns false when this is not what a model says, but garbage */
    push(chunk: Buffer): boolean {
      rest += decoder.write(chunk);
      if (isStream) {
        const lines = rest.split('\n');
        rest = lines.pop() ?? '';
        takeLines(lines);
      }
      if (rest.length > MAX_PART) garbled = true;
      return !garbled;
    },

    /** The answer is complete. @returns like `push` */
    end(): boolean {
      if (isStream) takeLines([rest]);
      else take(rest);
      return !garbled;
    },

    /** The tokens told so far, if any. */
    usage: () => usage,
  };
}
