import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { pipeline, Transform } from 'node:stream';
import { AppError } from '../errors/app-error.ts';
import type { Redactor } from '../redaction/redactor.ts';
import { measurements, secondsSince } from '../telemetry/measurements.ts';
import type { ModelApi, ModelCall } from './agent-definition.ts';
import { createMeter, type Meter, type ModelTurn } from './model-meter.ts';
import type { Upstream } from './upstream.ts';
import { createUsageReader } from './usage-reader.ts';

const MAX_REQUEST = 32 * 1024 * 1024;
const MAX_ERROR = 64 * 1024;
const MAX_WORDS = 300;
const MAX_CONNECTIONS = 64;

const REQUEST_HEADERS = ['content-type', 'content-length', 'accept', 'user-agent', 'x-goog-api-client'];
const ANSWER_HEADERS = ['content-type', 'retry-after'];

export type ModelProxy = {
  server: Server;
  /** What the agent sends instead of the key. */
  token: string;
  /**
   * Lets calls through from now on.
   * @returns ends that: calls under way are broken off, and all have been told to `onUsage` when it returns
   */
  begin(turn: ModelTurn): () => void;
};

/**
 * The only way from an agent to its model: takes the agent's calls, adds the key, passes the answers on as they come,
 * and counts. Between turns nothing is let through, so that whatever is used is used by a run.
 */
export function createModelProxy(api: ModelApi, upstream: Upstream, redactor: Redactor): ModelProxy {
  const token = randomBytes(32).toString('base64url');
  let meter: Meter | undefined;

  // The run has a time limit; here, a call may wait for others and a connection for the next call.
  const server = createServer({ keepAliveTimeout: 0, requestTimeout: 0 }, (request, response) => {
    const refuse = (status: number, message: string) => sendError(api, request, response, status, message);
    if (!isSame(request.headers[api.keyHeader], token)) return refuse(403, 'This is not the token of the agent.');
    if (meter === undefined) return refuse(403, 'No run is under way.');
    const call = api.call(request.method ?? '', request.url ?? '');
    if (call === undefined) {
      meter.warn(`A request to the model was refused: ${request.method} ${request.url?.slice(0, MAX_WORDS)}.`);
      return refuse(403, 'The agent may not use this part of the API.');
    }
    if (Number(request.headers['content-length']) > MAX_REQUEST) return refuse(413, 'The request is too large.');
    const exchange = { api, upstream, redactor, call, request, response, meter };
    meter
      .admit(async () => {
        if (!response.destroyed) await forward(exchange);
      })
      .catch((error) => {
        if (error instanceof AppError) refuse(403, error.message);
        else response.destroy();
      });
  });
  server.maxConnections = MAX_CONNECTIONS;

  return {
    server,
    token,
    begin(turn) {
      const begun = createMeter(turn);
      meter = begun;
      return () => {
        begun.end();
        meter = undefined;
      };
    },
  };
}

type Exchange = {
  api: ModelApi;
  upstream: Upstream;
  redactor: Redactor;
  call: ModelCall;
  request: IncomingMessage;
  response: ServerResponse;
  meter: Meter;
};

/** Carries out one call; resolves when it is over and counted. */
function forward({ api, upstream, redactor, call, request, response, meter }: Exchange): Promise<void> {
  const outgoing = upstream.post(call.url, {
    ...pick(request.headers, REQUEST_HEADERS),
    'accept-encoding': 'identity',
    [api.keyHeader]: api.key,
  });
  const bytes = { sent: 0, received: 0 };
  const begun = performance.now();
  let status: number | 'unreachable' | 'broken_off' = 'broken_off';
  let reader: ReturnType<typeof createUsageReader> | undefined;

  const record = meter.open(() => {
    end();
    outgoing.destroy();
    response.destroy();
  });
  /** However it ended, also when it was broken off: the model has worked. */
  const end = () => record.close(call, reader?.usage(), bytes);

  request.on('data', (chunk: Buffer) => {
    bytes.sent += chunk.length;
    if (bytes.sent <= MAX_REQUEST) return;
    sendError(api, request, response, 413, 'The request is too large.');
    record.discard();
    outgoing.destroy();
  });
  request.pipe(outgoing);

  outgoing.on('error', (error: NodeJS.ErrnoException) => {
    if (record.closed() || response.headersSent) return;
    status = 'unreachable';
    const why = `The model was not reached (${error.code ?? error.message}).`;
    meter.warn(why);
    sendError(api, request, response, 502, why);
    record.discard();
  });
  outgoing.on('response', (answer: IncomingMessage) => {
    const code = answer.statusCode ?? 502;
    status = code;
    const headers = pick(answer.headers, ANSWER_HEADERS);
    if (code >= 300) {
      void readError(answer, api, redactor).then(({ text, words }) => {
        if (code === 429) meter.warn(`The model limits the rate (429): ${words}`);
        else if (code >= 500) meter.warn(`The model failed (${code}): ${words}`);
        record.discard();
        if (!response.destroyed) response.writeHead(code, headers).end(text);
      });
      return;
    }
    const found = createUsageReader(String(headers['content-type'] ?? ''), api.usage);
    reader = found;
    const count = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        bytes.received += chunk.length;
        found.push(chunk);
        done(null, chunk);
      },
      // Before the agent sees the end, and could end its turn.
      flush(done) {
        end();
        done();
      },
    });
    response.writeHead(code, headers);
    response.flushHeaders();
    pipeline(answer, count, response, (error) => {
      if (error) end();
    });
  });
  response.once('close', () => {
    if (response.writableFinished) return;
    end();
    outgoing.destroy();
  });
  return record.done.then(() => {
    measurements.emit('modelCall', { model: call.model, status, seconds: secondsSince(begun) });
  });
}

/** What the API says is wrong, without the key, which some of its errors repeat. */
async function readError(
  answer: IncomingMessage,
  api: ModelApi,
  redactor: Redactor,
): Promise<{ text: string; words: string }> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of answer) {
      size += chunk.length;
      if (size > MAX_ERROR) break;
      chunks.push(chunk);
    }
  } catch {
    // The status says enough.
  }
  const text = redactor.text(Buffer.concat(chunks).toString());
  let words = '';
  try {
    words = api.errorWords(JSON.parse(text));
  } catch {
    // A relay may answer in any form.
  }
  return { text, words: words.replace(/\s+/g, ' ').slice(0, MAX_WORDS) || 'it gave no reason' };
}

function sendError(api: ModelApi, request: IncomingMessage, response: ServerResponse, status: number, message: string) {
  request.unpipe();
  request.resume();
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  response.writeHead(status, { 'content-type': 'application/json', connection: 'close' });
  response.end(JSON.stringify(api.errorBody(status, message)));
}

function pick(headers: IncomingHttpHeaders, names: readonly string[]): IncomingHttpHeaders {
  return Object.fromEntries(names.flatMap((name) => (headers[name] === undefined ? [] : [[name, headers[name]]])));
}

/** In a time that tells nothing about where they differ. */
function isSame(given: unknown, token: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return typeof given === 'string' && timingSafeEqual(digest(given), digest(token));
}
