import { once } from 'node:events';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { AppError } from '../errors/app-error.ts';
import type { Redactor } from '../redaction/redactor.ts';
import { measurements, secondsSince } from '../telemetry/measurements.ts';
import type { Meter } from './meter.ts';
import type { ModelApi, ModelCall, ModelFailure } from './model-api.ts';
import type { Upstream } from './upstream.ts';
import { createUsageReader } from './usage-reader.ts';

/** Largest body of an error response that is read, in bytes. */
const MAX_ERROR_BYTES = 64 * 1024;
const NOT_JSON = 'its response is not valid JSON';

const REQUEST_HEADERS = ['accept', 'user-agent'];
const RESPONSE_HEADERS = ['content-type', 'retry-after'];

/** One call of the agent: its request, checked, and the response that it waits for. */
export type Exchange = {
  api: ModelApi;
  upstream: Upstream;
  redactor: Redactor;
  call: ModelCall;
  request: IncomingMessage;
  body: Uint8Array;
  response: ServerResponse;
  meter: Meter;
};

/** A failed attempt; `received` is the error response, redacted, if there was one. */
export type FailedAttempt = ModelFailure & {
  received?: { status: number; headers: IncomingHttpHeaders; text: string };
};

/** Sends a call to the model once. @returns the failure, or undefined when the agent has the response */
export async function attemptCall(exchange: Exchange): Promise<FailedAttempt | undefined> {
  const { api, upstream, redactor, call, request, body, response, meter } = exchange;
  const outgoing = upstream.post(call.url, {
    ...pick(request.headers, [...REQUEST_HEADERS, ...api.forwardedHeaders]),
    // The API must read the body as it was checked, in no other encoding or format.
    'content-type': 'application/json',
    'content-length': body.length,
    'accept-encoding': 'identity',
    [api.keyHeader]: api.key,
  });
  const bytes = { sent: body.length, received: 0 };
  const startedAt = performance.now();
  let status: number | 'unreachable' | 'broken_off' = 'broken_off';
  let reader: ReturnType<typeof createUsageReader> | undefined;
  // An aborted attempt counts too: the model has worked on it.
  const count = () => attempt.count(call, reader?.usage(), bytes);
  const attempt = meter.track(() => {
    count();
    outgoing.destroy();
    response.destroy();
  });
  const onClose = () => {
    count();
    outgoing.destroy();
  };
  response.once('close', onClose);
  outgoing.on('error', () => {
    // `send` or the response reports it.
  });
  try {
    const incoming = await send(outgoing, body);
    const code = incoming.statusCode ?? 502;
    status = code;
    const headers = pick(incoming.headers, RESPONSE_HEADERS);
    if (code >= 300) {
      const text = redactor.text(await readError(incoming));
      attempt.ignore();
      return errorResponse(api, code, headers, text);
    }
    reader = createUsageReader(headers['content-type'] ?? '', api.usage);
    return await forwardResponse(incoming, reader, { status: code, headers, response, bytes, count });
  } catch (error) {
    attempt.ignore();
    if (!response.destroyed) status = 'unreachable';
    return unreachable(api, error);
  } finally {
    response.off('close', onClose);
    measurements.emit('modelCall', { model: call.model, status, seconds: secondsSince(startedAt) });
  }
}

async function send(outgoing: ReturnType<Upstream['post']>, body: Uint8Array): Promise<IncomingMessage> {
  const incoming = Promise.withResolvers<IncomingMessage>();
  outgoing.once('response', incoming.resolve).once('error', incoming.reject);
  outgoing.end(body);
  return incoming.promise;
}

type Target = {
  status: number;
  headers: IncomingHttpHeaders;
  response: ServerResponse;
  bytes: { received: number };
  count(): void;
};

/** Forwards a stream of events as they arrive, and any other response when it is complete. */
async function forwardResponse(
  incoming: IncomingMessage,
  reader: ReturnType<typeof createUsageReader>,
  { status, headers, response, bytes, count }: Target,
): Promise<FailedAttempt | undefined> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of incoming) {
      bytes.received += chunk.length;
      if (!reader.push(chunk)) return brokenResponse(NOT_JSON, response.headersSent);
      if (!reader.isStream) {
        chunks.push(chunk);
        continue;
      }
      if (!response.headersSent) response.writeHead(status, headers);
      if (!response.write(chunk)) await drained(response);
    }
    if (!reader.end()) return brokenResponse(NOT_JSON, response.headersSent);
  } catch (error) {
    return brokenResponse(`the connection broke (${codeOf(error)})`, response.headersSent);
  } finally {
    // Before the agent receives the end, and could end its turn.
    count();
  }
  if (!response.headersSent) response.writeHead(status, headers);
  response.end(Buffer.concat(chunks));
  return undefined;
}

async function drained(response: ServerResponse): Promise<void> {
  const done = new AbortController();
  const { signal } = done;
  await Promise.race([once(response, 'drain', { signal }), once(response, 'close', { signal })]);
  done.abort();
}

/** A response that was forwarded in part cannot be retried. */
function brokenResponse(reason: string, isForwarded: boolean): FailedAttempt {
  const summary = `The model failed${isForwarded ? ' in the middle of its response' : ''}: ${reason}.`;
  return { next: isForwarded ? 'fail' : 'retry', summary, error: new AppError('model_failed', summary) };
}

function unreachable({ unreachableRemedy: remedy }: ModelApi, cause: unknown): FailedAttempt {
  const summary = `Could not reach the model (${codeOf(cause)}).`;
  return { next: 'retry', summary, error: new AppError('model_failed', summary, { cause, remedy }) };
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message;
}

function errorResponse(api: ModelApi, status: number, headers: IncomingHttpHeaders, text: string): FailedAttempt {
  const failure = api.classifyFailure(status, text);
  const retryAfter = Number(headers['retry-after'] ?? Number.NaN);
  const waitSeconds = failure.waitSeconds ?? (retryAfter >= 0 ? retryAfter : undefined);
  return { ...failure, waitSeconds, received: { status, headers, text } };
}

async function readError(incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of incoming) {
      size += chunk.length;
      if (size > MAX_ERROR_BYTES) break;
      chunks.push(chunk);
    }
  } catch {
    // The status is enough.
  }
  return Buffer.concat(chunks).toString();
}

function pick(headers: IncomingHttpHeaders, names: readonly string[]): IncomingHttpHeaders {
  return Object.fromEntries(names.flatMap((name) => (headers[name] === undefined ? [] : [[name, headers[name]]])));
}
