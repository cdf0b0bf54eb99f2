import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { AppError } from '../errors/app-error.ts';
import type { Redactor } from '../redaction/redactor.ts';
import type { ModelApi, ModelCall } from './agent-definition.ts';
import { carryOutCall } from './model-call.ts';
import { createMeter, type Meter, type ModelTurn } from './model-meter.ts';
import type { Upstream } from './upstream.ts';

const MAX_REQUEST = 32 * 1024 * 1024;
/** Requests above this size, in bytes, are let through one at a time: each is in memory until the model has answered. */
const LARGE_REQUEST = 4 * 1024 * 1024;
const MAX_WORDS = 300;
const MAX_CONNECTIONS = 64;

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
 * tries again what fails, and counts. Between turns nothing is let through, so that whatever is used is used by a run.
 */
export function createModelProxy(api: ModelApi, upstream: Upstream, redactor: Redactor): ModelProxy {
  const token = randomBytes(32).toString('base64url');
  let meter: Meter | undefined;

  // The run has a time limit; here, a call may wait for others and a connection for the next call.
  const server = createServer({ keepAliveTimeout: 0, requestTimeout: 0 }, (request, response) => {
    const refuse = (status: number, message: string) => sendError(api, request, response, status, message);
    if (!isSame(request.headers[api.keyHeader], token)) return refuse(403, 'This is not the token of the agent.');
    if (meter === undefined) return refuse(403, 'No run is under way.');
    const current = meter;
    const call = api.call(request.method ?? '', request.url ?? '');
    if (call === undefined) {
      current.warn(`A request to the model was refused: ${request.method} ${request.url?.slice(0, MAX_WORDS)}.`);
      return refuse(403, 'The agent may not use this part of the API.');
    }
    // One that does not tell its size may be of any.
    const size = Number(request.headers['content-length'] ?? MAX_REQUEST);
    if (size > MAX_REQUEST) return refuse(413, 'The request is too large.');
    const carryOut = async () => {
      const body = await readBody(api, call, request, current);
      if (response.destroyed) return;
      if (body === undefined) return refuse(413, 'The request is too large.');
      await carryOutCall({ api, upstream, redactor, call, request, body, response, meter: current });
    };
    current.admit(call, size > LARGE_REQUEST, carryOut).catch((error) => {
      // Not one of the statuses after which an agent tries again by itself.
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

/** What is to be sent to the model; undefined when the request is too large. What it was made from is not held on to. */
async function readBody(api: ModelApi, call: ModelCall, request: IncomingMessage, meter: Meter) {
  const received = await readAll(request);
  const conversation = received && call.converses ? api.conversation(received) : undefined;
  return conversation ? meter.notes.addTo(conversation) : received;
}

/** The whole request; undefined when it is too large. */
async function readAll(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    size += chunk.length;
    if (size > MAX_REQUEST) return undefined;
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
  response.writeHead(status, { 'content-type': 'application/json', connection: 'close' });
  response.end(JSON.stringify(api.errorBody(status, message)));
}

/** In a time that tells nothing about where they differ. */
function isSame(given: unknown, token: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return typeof given === 'string' && timingSafeEqual(digest(given), digest(token));
}
