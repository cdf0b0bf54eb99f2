import { Writable } from 'node:stream';

/** Makes a stream that hands on each chunk of a command's output, as fast as it is read. */
export function sink(read: (chunk: Buffer) => void): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      read(chunk);
      done();
    },
  });
}
