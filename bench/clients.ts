import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** One client of a stream, on a bare socket, so that what is measured is the server. */
export type StreamClient = {
  /** Resolves with the time in nanoseconds when the head of the answer came. */
  opened: Promise<bigint>;
  /** Resolves when the server has ended the stream. */
  ended: Promise<void>;
  bytes(): number;
  socket: Socket;
};

/**
 * Opens a stream.
 * @param onText called with each piece and the nanoseconds when it came
 */
export async function openStream(
  url: string,
  onText?: (text: string, at: bigint) => void,
  headers = '',
): Promise<StreamClient> {
  const { hostname, port, host, pathname, search } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  await once(socket, 'connect');
  const opened = Promise.withResolvers<bigint>();
  const ended = once(socket, 'close').then(() => undefined);
  let bytes = 0;
  socket.on('error', () => {});
  socket.on('data', (chunk) => {
    const at = process.hrtime.bigint();
    opened.resolve(at);
    bytes += chunk.length;
    onText?.(chunk.toString('latin1'), at);
  });
  socket.write(`GET ${pathname}${search} HTTP/1.1\r\nHost: ${host}\r\n${headers}Connection: close\r\n\r\n`);
  return { opened: opened.promise, ended, bytes: () => bytes, socket };
}

/** Gathers how long what an agent sent was on its way, in milliseconds, whatever frames it comes in. */
export function latencies() {
  const all: number[] = [];
  let first: bigint | undefined;
  return {
    all,
    /** When the first one was sent. */
    first: () => first,
    /** @param count how many pieces there are; what the run tells of them at its end is not one */
    reader(count: number) {
      let left = count;
      let rest = '';
      return (text: string, at: bigint) => {
        rest += text;
        let end = 0;
        for (const { 1: sent = '', index, 0: mark } of rest.matchAll(/@(\d{6,})@/g)) {
          if (left-- <= 0) return;
          const time = BigInt(sent);
          if (first === undefined || time < first) first = time;
          all.push(Number(at - time) / 1e6);
          end = index + mark.length;
        }
        rest = rest.slice(Math.max(end, rest.length - 64));
      };
    },
  };
}

/** Asks for the same over and over on so many connections; gives the answers per second. */
export async function requestsPerSecond(url: string, connections: number, seconds: number): Promise<number> {
  const { hostname, port, host, pathname, search } = new URL(url);
  const request = `GET ${pathname}${search} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
  const begun = performance.now();
  const until = begun + seconds * 1000;
  let answers = 0;

  async function oneConnection(): Promise<void> {
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    await once(socket, 'connect');
    const done = Promise.withResolvers<void>();
    let buffered = '';
    socket.on('error', done.reject);
    socket.on('data', (chunk) => {
      buffered += chunk.toString('latin1');
      const head = buffered.indexOf('\r\n\r\n');
      if (head === -1) return;
      const length = Number(/content-length: (\d+)/i.exec(buffered)?.[1]);
      if (buffered.length < head + 4 + length) return;
      if (!buffered.startsWith('HTTP/1.1 200')) return done.reject(new Error(buffered.slice(0, 500)));
      buffered = '';
      answers++;
      if (performance.now() < until) socket.write(request);
      else done.resolve();
    });
    socket.write(request);
    await done.promise;
    socket.destroy();
  }

  await Promise.all(Array.from({ length: connections }, oneConnection));
  return answers / ((performance.now() - begun) / 1000);
}

/** One request with a JSON body and answer. */
export async function call(
  url: string,
  method: string,
  path: string,
  body?: object,
): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch(new URL(path, url), {
    method,
    headers: body === undefined ? {} : { 'content-type': 'application/json' },
    body: body === undefined ? null : JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return { status: response.status, body: text === '' ? {} : JSON.parse(text) };
}
