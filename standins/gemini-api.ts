import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import { chunksOf, errorBody, plainAnswer, tokensIn } from './gemini-answers.ts';
import { type ModelRequest, recordRequest } from './gemini-request.ts';
import { createScripts, type Match, type Script, type Turn } from './gemini-script.ts';
import { closeServer, listenOnPort } from './loopback.ts';

export type GeminiApi = {
  url: string;
  /** All requests so far, oldest first. */
  requests: ModelRequest[];
  /** Adds a script for matching prompts, which takes precedence over earlier ones. */
  on(match: Match, turns: readonly Turn[]): void;
  /** Adds several scripts. */
  script(scripts: readonly Script[]): void;
  /** Resolves with the first matching request, past or future. Rejects when the stand-in closes first. */
  waitFor(predicate: Predicate): Promise<ModelRequest>;
  /** Continues hanging answers: all, or those of matching requests. */
  release(predicate?: Predicate): void;
  /** Returns environment variables that make a process use the stand-in as the Gemini API. */
  environment(): { GEMINI_API_KEY: string; GOOGLE_GEMINI_BASE_URL: string };
  /** Closes the server and its connections, hanging answers included. */
  close(): Promise<void>;
};

type Predicate = (request: ModelRequest) => boolean;

/**
 * Starts a Gemini API on a free loopback port, which answers by scripts.
 * @param options `key`: the only valid API key; default: any key
 */
export async function startGeminiApi(options: { key?: string } = {}): Promise<GeminiApi> {
  const scripts = createScripts();
  const requests: ModelRequest[] = [];
  const held = new Map<ModelRequest, () => void>();
  const waiters = new Set<Pick<PromiseWithResolvers<ModelRequest>, 'resolve' | 'reject'> & { predicate: Predicate }>();

  const server = createServer((incoming, response) => {
    answer(incoming, response).catch((error) => {
      if (response.headersSent || response.destroyed) response.destroy();
      else sendError(response, { status: 400, message: `The stand-in failed: ${error}` });
    });
  });
  const url = await listenOnPort(server);

  async function answer(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const request = recordRequest(incoming, await text(incoming));
    requests.push(request);
    response.once('close', () => {
      if (response.headersSent) request.status = response.statusCode;
      setState(request, response.writableFinished ? 'answered' : 'abandoned');
    });
    setState(request, 'open');

    if (request.key === undefined) return sendError(response, { status: 403, message: NO_KEY });
    if (options.key !== undefined && request.key !== options.key) {
      return sendError(response, { status: 400, message: WRONG_KEY }, 'API_KEY_INVALID');
    }
    if (request.method !== 'POST') return sendError(response, { status: 404 });
    switch (request.operation) {
      case 'streamGenerateContent':
        return stream(request, response);
      case 'generateContent':
        return sendJson(response, 200, plainAnswer(request.body));
      case 'countTokens':
        return sendJson(response, 200, { totalTokens: tokensIn(request.body) });
      default:
        return sendError(response, { status: 404 });
    }
  }

  async function stream(request: ModelRequest, response: ServerResponse): Promise<void> {
    for (const turn of scripts.turnsFor(request)) {
      if (turn.error && !response.headersSent) return sendError(response, turn.error);
      for (const chunk of chunksOf(turn, request.body)) {
        if (turn.delayMs) await pause(turn.delayMs, undefined, { ref: false });
        await sendEvent(response, JSON.stringify(chunk));
      }
      if (turn.hang && !response.destroyed) await hold(request, response);
      if (turn.garbage) await sendEvent(response, '{"candidates": [{"content": oops');
      if (turn.reset || turn.error) response.destroy();
      if (response.destroyed) return;
    }
    response.end();
  }

  async function hold(request: ModelRequest, response: ServerResponse): Promise<void> {
    const released = new Promise<void>((resolve) => {
      held.set(request, resolve);
      response.once('close', resolve);
    });
    setState(request, 'held');
    await released;
    held.delete(request);
    if (!response.destroyed) setState(request, 'open');
  }

  function setState(request: ModelRequest, state: ModelRequest['state']): void {
    request.state = state;
    for (const waiter of waiters) {
      if (!waiter.predicate(request)) continue;
      waiters.delete(waiter);
      waiter.resolve(request);
    }
  }

  return {
    url,
    requests,
    on: scripts.add,
    script(added) {
      for (const { match, turns } of added) scripts.add(match, turns);
    },
    waitFor(predicate) {
      const { promise, resolve, reject } = Promise.withResolvers<ModelRequest>();
      const past = requests.find(predicate);
      if (past) resolve(past);
      else if (server.listening) waiters.add({ predicate, resolve, reject });
      else reject(new Error(CLOSED));
      return promise;
    },
    release(predicate = () => true) {
      for (const [request, resolve] of held) if (predicate(request)) resolve();
    },
    environment: () => ({ GEMINI_API_KEY: options.key ?? 'stand-in-key', GOOGLE_GEMINI_BASE_URL: url }),
    async close() {
      await closeServer(server);
      for (const waiter of waiters) waiter.reject(new Error(CLOSED));
    },
  };
}

const CLOSED = 'The stand-in for the Gemini API was closed before a matching request arrived.';

// Messages of Google's API.
const NO_KEY = "Method doesn't allow unregistered callers. Please use API Key or other form of API consumer identity.";
const WRONG_KEY = 'API key not valid. Please pass a valid API key.';

function sendJson(response: ServerResponse, status: number, body: object, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=UTF-8', ...headers });
  response.end(JSON.stringify(body));
}

function sendError(response: ServerResponse, error: NonNullable<Turn['error']>, reason?: string): void {
  const headers: Record<string, string> =
    error.retryAfter === undefined ? {} : { 'retry-after': String(error.retryAfter) };
  sendJson(response, error.status, errorBody(error, reason), headers);
}

/** Resolves when the event is sent, so that the connection can break after it. */
async function sendEvent(response: ServerResponse, data: string): Promise<void> {
  if (response.destroyed) return;
  if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/event-stream' });
  await new Promise((resolve) => response.write(`data: ${data}\r\n\r\n`, resolve));
}
