import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { createPace, readPaced } from './pace.ts';

const MAX_LINE_CHARS = 64 * 1024;

/**
 * Calls `onLine` with each line of a stream until it ends or is destroyed. Truncates long lines.
 */
export async function readLines(stream: Readable, onLine: (line: string) => void): Promise<void> {
  const decoder = new StringDecoder('utf8');
  let line = '';
  const add = (text: string) => {
    if (line.length < MAX_LINE_CHARS) line += text.slice(0, MAX_LINE_CHARS - line.length);
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
    // The process was killed. Its last line still counts.
  }
  end();
}
