import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';

const MAX_LINE = 64 * 1024;

/** Calls back with each line of a stream that may hold anything; of a line that is too long, the first characters. */
export function readLines(stream: Readable, onLine: (line: string) => void): void {
  const decoder = new StringDecoder('utf8');
  let line = '';
  const add = (text: string) => {
    if (line.length < MAX_LINE) line += text.slice(0, MAX_LINE - line.length);
  };
  const end = () => {
    if (line.trim() !== '') onLine(line.trimEnd());
    line = '';
  };
  stream.on('data', (chunk: Buffer) => {
    const [first = '', ...others] = decoder.write(chunk).split('\n');
    add(first);
    for (const next of others) {
      end();
      add(next);
    }
  });
  stream.on('end', end);
}
