import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { AppError } from '../errors/app-error.ts';
import { createJsonScan } from '../json/scan.ts';
import type { Redactor } from '../redaction/redactor.ts';
import { forwardCall } from './call.ts';
import { visibleLine } from './escape-invisible.ts';
import { createMeter, type Meter } from './meter.ts';
import type { ModelApi, ModelCall } from './model-api.ts';
import type { ModelTurn } from './model-turn.ts';
import { readRequest } from './read-request.ts';
import { NOT_FORWARDED } from './refusal.ts';
import type { Refusal } from './request-readers.ts';
import type { Upstream } from './upstream.ts';

const MAX_REQUEST_BYTES = 32 * 1024 * 1024;
/** Larger requests run one at a time: each stays in memory until the model responds. */
const LARGE_REQUEST_BYTES = 4 * 1024 * 1024;
const MAX_REASON_CHARS = 300;
const MAX_CONNECTIONS = 64;
/** Most calls that wait or run. One connection can pipeline any number. */
const MAX_PENDING = 64;
const TOO_LARGE: Refusal = { status: 413, reason: 'its body is too large' };
const TOO_COMPLEX: Refusal = { status: 413, reason: 'its body is nested too deeply or has too many values' };

export type ModelProxy = {
  server: Server;
  /** Sent by the agent in place of the key. */
  token: string;
  /**
   * Admits calls from now on.
   * @returns ends the turn: aborts running calls; all usage has been notified when it returns
   */
  begin(turn: ModelTurn): () => void;
};

/**
 * Creates the only way from an agent to its model. It checks the agent's calls against the allow-list of the API, adds the key and
 * hints, streams responses, retries and counts. It refuses calls between turns, so that all usage belongs to a run.
 */
export function createModelProxy(api: ModelApi, upstream: Upstream, redactor: Redactor): ModelProxy {
  const token = randomBytes(32).toString('base64url');
  let meter: Meter | undefined;
  let pending = 0;

  // No timeouts: calls wait for each other, and connections for the next call. The run has a time limit.
  const server = createServer({ keepAliveTimeout: 0, requestTimeout: 0 }, (request, response) => {
    const refuse = (status: number, message: string) => sendError(api, request, response, status, message);
    if (!isToken(request.headers[api.keyHeader], token)) return refuse(403, 'The token of the agent is not valid.');
    if (meter === undefined) return refuse(403, 'No turn is running.');
    if (pending >= MAX_PENDING) return refuse(403, 'Too many concurrent calls.');
    const current = meter;
    const reject = ({ status, reason }: Refusal) => {
      const text = `Refused a model call: ${visibleLine(reason.slice(0, MAX_REASON_CHARS))}.`;
      current.notify({ type: 'warning', text });
      refuse(status, `${NOT_FORWARDED} ${reason}.`);
    };
    const call = api.call(request.method ?? '', request.url ?? '');
    if (call === undefined) {
      return reject({ status: 403, reason: `agents do not need ${request.method} ${request.url}` });
    }
    if (!api.models.has(call.model)) {
      return reject({ status: 403, reason: `the settings do not allow the model ${call.model}` });
    }
    // A request without a length may have any.
    const size = Number(request.headers['content-length'] ?? MAX_REQUEST_BYTES);
    if (size > MAX_REQUEST_BYTES) return reject(TOO_LARGE);
    const forward = async () => {
      const read = await readBody(api, call, request, current);
      // The turn may have ended while the body arrived.
      current.ended.throwIfAborted();
      if (response.destroyed) return;
      if ('reason' in read) return reject(read);
      await forwardCall({ api, upstream, redactor, call, request, body: read.body, response, meter: current });
    };
    pending += 1;
    current
      .admit(call, size > LARGE_REQUEST_BYTES, forward)
      .catch((error) => {
        // A status that agents do not retry.
        if (error instanceof AppError) refuse(403, error.message);
        else response.destroy();
      })
      .finally(() => {
        pending -= 1;
      });
  });
  server.maxConnections = MAX_CONNECTIONS;

  return {
    server,
    token,
    begin(turn) {
      const next = createMeter(turn, redactor.text);
      meter = next;
      return () => {
        next.end();
        meter = undefined;
      };
    },
  };
}

/** Returns the body to send to the model, or why there is none. The received body can be freed. */
async function readBody(
  api: ModelApi,
  call: ModelCall,
  request: IncomingMessage,
  meter: Meter,
): Promise<{ body: Uint8Array } | Refusal> {
  const received = await readAll(request);
  if ('reason' in received) return received;
  const { model, usesTokens, isConversation } = call;
  const read = await readRequest(received, { format: api.format, model, usesTokens, isConversation }, meter.ended);
  if ('reason' in read || read.conversation === undefined) return read;
  const { body, conversation } = read;
  const hints = meter.hintsFor(conversation);
  return { body: hints.length === 0 ? body : api.addHints(body, conversation, hints) };
}

/** Reads the whole body, and stops at one that is too large or too complex to parse. */
async function readAll(request: IncomingMessage): Promise<Buffer<ArrayBuffer> | Refusal> {
  const scan = createJsonScan();
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    size += chunk.length;
    if (size > MAX_REQUEST_BYTES) return TOO_LARGE;
    if (!scan.push(chunk)) return TOO_COMPLEX;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function sendError(api: ModelApi, request: IncomingMessage, response: ServerResponse, status: number, message: string) {
  request.resume();
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  // Closing the connection while the agent still sends would lose the response, so only unbounded requests are cut off.
  const isBounded = Number(request.headers['content-length']) <= MAX_REQUEST_BYTES;
  response.writeHead(status, { 'content-type': 'application/json', ...(isBounded ? {} : { connection: 'close' }) });
  response.end(JSON.stringify(api.errorBody(status, message)));
}

/** Compares in constant time. */
function isToken(given: unknown, token: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return typeof given === 'string' && timingSafeEqual(digest(given), digest(token));
}
