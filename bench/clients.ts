import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** A client of a stream on a bare socket, which adds little to the measurement. */
export type StreamClient = {
  /** Resolves with the arrival time of the response head, in nanoseconds. */
  opened: Promise<bigint>;
  /** Resolves when the server has closed the stream. */
  ended: Promise<void>;
  bytes(): number;
  socket: Socket;
};

/**
 * Opens a stream.
 * @param onText receives each chunk and its arrival time in nanoseconds
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

/** Collects the latencies of the agent's updates in milliseconds, whatever frames contain them. */
export function latencies() {
  const all: number[] = [];
  let first: bigint | undefined;
  return {
    all,
    /** Sending time of the first update. */
    first: () => first,
    /** @param count number of updates; later repetitions in the run's last events are ignored */
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

/** Repeats a request on several connections and returns the responses per second. */
export async function requestsPerSecond(url: string, connections: number, seconds: number): Promise<number> {
  const { hostname, port, host, pathname, search } = new URL(url);
  const request = `GET ${pathname}${search} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
  const startedAt = performance.now();
  const until = startedAt + seconds * 1000;
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
  return answers / ((performance.now() - startedAt) / 1000);
}

/** Sends a request with JSON body and response. */
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
