import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { createPace, readPaced } from './pace.ts';

/** Longest line in characters. */
const MAX_LINE = 64 * 1024;

/**
 * Calls back with each line of a stream that may hold anything, until the stream ends or is destroyed; of a line that is
 * too long, with the first characters.
 */
export async function readLines(stream: Readable, onLine: (line: string) => void): Promise<void> {
  const decoder = new StringDecoder('utf8');
  let line = '';
  const add = (text: string) => {
    if (line.length < MAX_LINE) line += text.slice(0, MAX_LINE - line.length);
  };
  const end = () => {
    if (line.trim() !== '') onLine(line.trimEnd());
    line = '';
  };
  try {
    for await (const chunk of readPaced(stream, createPace())) {
      const [first = '', ...others] = decoder.write(chunk).split('\n');
      add(first);
      for (const next of others) {
        end();
        add(next);
      }
    }
  } catch {
    // The process was killed; its last line counts all the same.
  }
  end();
}
