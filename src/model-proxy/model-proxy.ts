import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { AppError } from '../errors/app-error.ts';
import { createJsonScan } from '../json/scan.ts';
import type { Redactor } from '../redaction/redactor.ts';
import { carryOutCall } from './call.ts';
import { visibleLine } from './escape-invisible.ts';
import { createMeter, type Meter, type ModelTurn } from './meter.ts';
import type { ModelApi, ModelCall } from './model-api.ts';
import { readRequest } from './read-request.ts';
import { NOT_FORWARDED } from './refusal.ts';
import type { Refusal } from './request-readers.ts';
import type { Upstream } from './upstream.ts';

const MAX_REQUEST = 32 * 1024 * 1024;
/** Requests above this size, in bytes, are let through one at a time: each is in memory until the model has answered. */
const LARGE_REQUEST = 4 * 1024 * 1024;
const MAX_WORDS = 300;
const MAX_CONNECTIONS = 64;
/** Most calls that may wait or be carried out at once: a connection can carry any number, one behind another. */
const MAX_PENDING = 64;
const TOO_LARGE: Refusal = { status: 413, reason: 'its body is too large' };
const TOO_COMPLEX: Refusal = { status: 413, reason: 'its body is nested too deeply, or holds too many values' };

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
 * The only way from an agent to its model: takes the agent's calls, checks them against the allow-list of the API, adds the
 * key, passes the answers on as they come, tries again what fails, and counts. Between turns nothing is let through, so
 * that whatever is used is used by a run.
 */
export function createModelProxy(api: ModelApi, upstream: Upstream, redactor: Redactor): ModelProxy {
  const token = randomBytes(32).toString('base64url');
  let meter: Meter | undefined;
  let pending = 0;

  // The run has a time limit; here, a call may wait for others and a connection for the next call.
  const server = createServer({ keepAliveTimeout: 0, requestTimeout: 0 }, (request, response) => {
    const refuse = (status: number, message: string) => sendError(api, request, response, status, message);
    if (!isSame(request.headers[api.keyHeader], token)) return refuse(403, 'This is not the token of the agent.');
    if (meter === undefined) return refuse(403, 'No run is under way.');
    if (pending >= MAX_PENDING) return refuse(403, 'Too many calls are under way.');
    const current = meter;
    const reject = ({ status, reason }: Refusal) => {
      current.warn(`A call of the model was refused: ${visibleLine(reason.slice(0, MAX_WORDS))}.`);
      refuse(status, `${NOT_FORWARDED} ${reason}.`);
    };
    const call = api.call(request.method ?? '', request.url ?? '');
    if (call === undefined) {
      return reject({ status: 403, reason: `agents have no use for ${request.method} ${request.url}` });
    }
    if (!api.models.has(call.model)) {
      return reject({ status: 403, reason: `the settings do not name the model ${call.model}` });
    }
    // A request that does not state its size may be of any.
    const size = Number(request.headers['content-length'] ?? MAX_REQUEST);
    if (size > MAX_REQUEST) return reject(TOO_LARGE);
    const carryOut = async () => {
      const read = await readBody(api, call, request, current);
      // A body that arrives slowly does not outlast the turn.
      current.over.throwIfAborted();
      if (response.destroyed) return;
      if ('reason' in read) return reject(read);
      await carryOutCall({ api, upstream, redactor, call, request, body: read.body, response, meter: current });
    };
    pending += 1;
    current
      .admit(call, size > LARGE_REQUEST, carryOut)
      .catch((error) => {
        // Not one of the statuses after which an agent tries again by itself.
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
      const begun = createMeter(turn);
      meter = begun;
      return () => {
        begun.end();
        meter = undefined;
      };
    },
  };
}

/** The body that is to be sent to the model, or why there is none. The received one is not held on to. */
async function readBody(
  api: ModelApi,
  call: ModelCall,
  request: IncomingMessage,
  meter: Meter,
): Promise<{ body: Uint8Array } | Refusal> {
  const received = await readAll(request);
  if ('reason' in received) return received;
  const { model, costs, converses } = call;
  const read = await readRequest(received, { format: api.format, model, costs, converses }, meter.over);
  if ('reason' in read || read.conversation === undefined) return read;
  const { body, conversation } = read;
  const notes = meter.notes.of(conversation);
  return { body: notes.length === 0 ? body : api.addNotes(body, conversation, notes) };
}

/** The whole body; nothing of one that is too large, or too complex to be parsed, is kept. */
async function readAll(request: IncomingMessage): Promise<Buffer<ArrayBuffer> | Refusal> {
  const scan = createJsonScan();
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    size += chunk.length;
    if (size > MAX_REQUEST) return TOO_LARGE;
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
  // A connection that closes while the agent still sends takes the answer with it; only what has no end is cut off.
  const isBounded = Number(request.headers['content-length']) <= MAX_REQUEST;
  response.writeHead(status, { 'content-type': 'application/json', ...(isBounded ? {} : { connection: 'close' }) });
  response.end(JSON.stringify(api.errorBody(status, message)));
}

/** In a time that tells nothing about where they differ. */
function isSame(given: unknown, token: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return typeof given === 'string' && timingSafeEqual(digest(given), digest(token));
}
