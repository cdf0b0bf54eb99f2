import { Writable } from 'node:stream';

/** Creates a stream that passes each chunk to a function. */
export function sink(read: (chunk: Buffer) => void): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      read(chunk);
      done();
    },
  });
}
