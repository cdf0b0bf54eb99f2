import { once } from 'node:events';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { AppError } from '../errors/app-error.ts';
import type { Redactor } from '../redaction/redactor.ts';
import { measurements, secondsSince } from '../telemetry/measurements.ts';
import type { Meter } from './meter.ts';
import type { ModelApi, ModelCall, ModelTrouble } from './model-api.ts';
import type { Upstream } from './upstream.ts';
import { createUsageReader } from './usage-reader.ts';

/** How often a call is tried. */
const MAX_TRIES = 5;
/** Longest time that a call may wait between its tries. Agents wait some minutes for the beginning of an answer. */
const MAX_WAIT_SECONDS = 240;
const FIRST_WAIT_SECONDS = 1;
const LONGEST_WAIT_SECONDS = 30;
/** Waits are up to this much longer, so that many calls do not come back at once. */
const JITTER = 0.25;
const MAX_ERROR = 64 * 1024;
const NO_JSON = 'what it answered is no JSON';

const REQUEST_HEADERS = ['accept', 'user-agent', 'x-goog-api-client'];
const ANSWER_HEADERS = ['content-type', 'retry-after'];

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

/** What became of a try; `answer` is what the agent gets when it is to be told. */
type Failed = ModelTrouble & { answer?: { status: number; headers: IncomingHttpHeaders; text: string } };

/**
 * Carries out one call of the agent. The only one that tries again is this: what went wrong before anything of an answer
 * was passed on, said as it happens.
 * @throws AppError what ends the turn
 */
export async function carryOutCall(exchange: Exchange): Promise<void> {
  const { meter, response } = exchange;
  let waited = 0;
  for (let attempt = 1; ; attempt += 1) {
    const failed = await attemptCall(exchange);
    if (failed === undefined || response.destroyed) return;
    if (failed.next === 'tell' && failed.answer) {
      const { status, headers, text } = failed.answer;
      response.writeHead(status, headers).end(text);
      return;
    }
    const wait = failed.next === 'retry' ? waitBefore(attempt, failed.waitSeconds) : 0;
    const isLast = failed.next !== 'retry' || attempt === MAX_TRIES || waited + wait > MAX_WAIT_SECONDS;
    if (isLast || wait > meter.secondsLeft()) {
      if (failed.words !== '') meter.warn(failed.words);
      throw meter.fail(failed.error);
    }
    waited += wait;
    meter.warn(`${failed.words} Trying again in ${Math.ceil(wait)} s (${attempt + 1} of ${MAX_TRIES}).`);
    meter.wait(wait);
    await pause(wait * 1000, undefined, { signal: meter.over, ref: false });
    if (response.destroyed) return;
  }
}

/** Seconds; what the model asks for counts, and is no reason to come earlier. */
function waitBefore(attempt: number, asked: number | undefined): number {
  const seconds = asked ?? Math.min(FIRST_WAIT_SECONDS * 2 ** (attempt - 1), LONGEST_WAIT_SECONDS);
  return seconds * (1 + JITTER * Math.random());
}

async function attemptCall({
  api,
  upstream,
  redactor,
  call,
  request,
  body,
  response,
  meter,
}: Exchange): Promise<Failed | undefined> {
  const outgoing = upstream.post(call.url, {
    ...pick(request.headers, REQUEST_HEADERS),
    // The API reads the body as it was checked, in no other encoding or format.
    'content-type': 'application/json',
    'content-length': body.length,
    'accept-encoding': 'identity',
    [api.keyHeader]: api.key,
  });
  const bytes = { sent: body.length, received: 0 };
  const begun = performance.now();
  let status: number | 'unreachable' | 'broken_off' = 'broken_off';
  let reader: ReturnType<typeof createUsageReader> | undefined;
  /** However it ended, also when it was broken off: the model has worked. */
  const count = () => record.close(call, reader?.usage(), bytes);
  const record = meter.open(() => {
    count();
    outgoing.destroy();
    response.destroy();
  });
  const leave = () => {
    count();
    outgoing.destroy();
  };
  response.once('close', leave);
  outgoing.on('error', () => {
    // It is told by `once`, or by the answer that breaks off.
  });
  try {
    const answer = await send(outgoing, body);
    const code = answer.statusCode ?? 502;
    status = code;
    const headers = pick(answer.headers, ANSWER_HEADERS);
    if (code >= 300) {
      const text = redactor.text(await readError(answer));
      record.discard();
      return troubleOf(api, code, headers, text);
    }
    reader = createUsageReader(headers['content-type'] ?? '', api.usage);
    return await pass(answer, reader, { status: code, headers, response, bytes, count });
  } catch (error) {
    record.discard();
    if (!response.destroyed) status = 'unreachable';
    return unreachable(error);
  } finally {
    response.off('close', leave);
    measurements.emit('modelCall', { model: call.model, status, seconds: secondsSince(begun) });
  }
}

async function send(outgoing: ReturnType<Upstream['post']>, body: Uint8Array): Promise<IncomingMessage> {
  const answered = Promise.withResolvers<IncomingMessage>();
  outgoing.once('response', answered.resolve).once('error', answered.reject);
  outgoing.end(body);
  return answered.promise;
}

type Passing = {
  status: number;
  headers: IncomingHttpHeaders;
  response: ServerResponse;
  bytes: { received: number };
  count(): void;
};

/** Passes an answer on: events as they come, anything else when it is complete. */
async function pass(
  answer: IncomingMessage,
  reader: ReturnType<typeof createUsageReader>,
  { status, headers, response, bytes, count }: Passing,
): Promise<Failed | undefined> {
  const kept: Buffer[] = [];
  try {
    for await (const chunk of answer) {
      bytes.received += chunk.length;
      if (!reader.push(chunk)) return broken(NO_JSON, response.headersSent);
      if (!reader.isStream) {
        kept.push(chunk);
        continue;
      }
      if (!response.headersSent) response.writeHead(status, headers);
      if (!response.write(chunk)) await drained(response);
    }
    if (!reader.end()) return broken(NO_JSON, response.headersSent);
  } catch (error) {
    return broken(`the connection broke (${codeOf(error)})`, response.headersSent);
  } finally {
    // Before the agent sees the end, and could end its turn.
    count();
  }
  if (!response.headersSent) response.writeHead(status, headers);
  response.end(Buffer.concat(kept));
  return undefined;
}

async function drained(response: ServerResponse): Promise<void> {
  const over = new AbortController();
  const { signal } = over;
  await Promise.race([once(response, 'drain', { signal }), once(response, 'close', { signal })]);
  over.abort();
}

/** The agent has what was passed on, and cannot be given it again. */
function broken(how: string, passedOn: boolean): Failed {
  const words = `The model failed${passedOn ? ' in the middle of its answer' : ''}: ${how}.`;
  return { next: passedOn ? 'end' : 'retry', words, error: new AppError('model_failed', words) };
}

function unreachable(error: unknown): Failed {
  const words = `The model was not reached (${codeOf(error)}).`;
  const remedy = 'Check the network of the server, and GOOGLE_GEMINI_BASE_URL if it is set.';
  return {
    next: 'retry',
    words,
    error: new AppError('model_failed', words, { cause: error, remedy }),
  };
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message;
}

function troubleOf(api: ModelApi, status: number, headers: IncomingHttpHeaders, text: string): Failed {
  const trouble = api.trouble(status, text);
  const asked = Number(headers['retry-after'] ?? Number.NaN);
  const waitSeconds = trouble.waitSeconds ?? (asked >= 0 ? asked : undefined);
  return { ...trouble, waitSeconds, answer: { status, headers, text } };
}

/** What the API says is wrong; some of its errors repeat the key. */
async function readError(answer: IncomingMessage): Promise<string> {
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
  return Buffer.concat(chunks).toString();
}

function pick(headers: IncomingHttpHeaders, names: readonly string[]): IncomingHttpHeaders {
  return Object.fromEntries(names.flatMap((name) => (headers[name] === undefined ? [] : [[name, headers[name]]])));
}
