import { StringDecoder } from 'node:string_decoder';
import type { Usage } from '../../schemas/run.ts';

/** Longest part of an answer that is looked into, in characters. */
const MAX_PART = 16 * 1024 * 1024;

/**
 * Finds the tokens in an answer of a model while it passes by: a JSON value, a list of them, or server-sent events.
 * Models count on while they speak, so what is told last is what holds.
 */
export function createUsageReader(contentType: string, usageOf: (value: unknown) => Usage | undefined) {
  const decoder = new StringDecoder('utf8');
  const isStream = contentType.startsWith('text/event-stream');
  let rest = '';
  let usage: Usage | undefined;

  function take(json: string): void {
    try {
      for (const value of [JSON.parse(json)].flat()) usage = usageOf(value) ?? usage;
    } catch {
      // Not JSON, or cut off: it tells no tokens.
    }
  }

  return {
    push(chunk: Buffer): void {
      rest += decoder.write(chunk);
      if (isStream) {
        const lines = rest.split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) if (line.startsWith('data:')) take(line.slice('data:'.length));
      }
      if (rest.length > MAX_PART) rest = '';
    },

    /** The tokens told so far, if any. */
    usage(): Usage | undefined {
      if (!isStream) take(rest);
      return usage;
    },
  };
}
