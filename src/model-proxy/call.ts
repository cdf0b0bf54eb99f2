import { setTimeout as pause } from 'node:timers/promises';
import { attemptCall, type Exchange } from './attempt.ts';

const MAX_ATTEMPTS = 5;
/** Longest total wait between the attempts of a call. Agents wait some minutes for the first byte of a response. */
const MAX_WAIT_SECONDS = 240;
const MIN_BACKOFF_SECONDS = 1;
const MAX_BACKOFF_SECONDS = 30;
/** Adds up to this share to each wait, so that many calls do not retry at once. */
const JITTER = 0.25;

/**
 * Forwards one call of the agent and retries it until a part of the response has been passed on. Nothing else retries model
 * calls. Each retry is a warning to the run.
 * @throws AppError that fails the turn
 */
export async function forwardCall(exchange: Exchange): Promise<void> {
  const { meter, response } = exchange;
  let waited = 0;
  for (let attempt = 1; ; attempt += 1) {
    const failure = await attemptCall(exchange);
    if (failure === undefined || response.destroyed) return;
    if (failure.next === 'forward' && failure.received) {
      const { status, headers, text } = failure.received;
      response.writeHead(status, headers).end(text);
      return;
    }
    const wait = failure.next === 'retry' ? backoff(attempt, failure.waitSeconds) : 0;
    const isLast = failure.next !== 'retry' || attempt === MAX_ATTEMPTS || waited + wait > MAX_WAIT_SECONDS;
    if (isLast || wait > meter.secondsLeft()) {
      if (failure.summary !== '') meter.notify({ type: 'warning', text: failure.summary });
      throw meter.fail(failure.error);
    }
    waited += wait;
    const retry = `Retrying in ${Math.ceil(wait)} s (attempt ${attempt + 1} of ${MAX_ATTEMPTS}).`;
    meter.notify({ type: 'warning', text: `${failure.summary} ${retry}` });
    meter.notify({ type: 'retry', waitSeconds: wait });
    await pause(wait * 1000, undefined, { signal: meter.ended, ref: false });
    if (response.destroyed) return;
  }
}

/** Returns seconds, never less than the API asked for. */
function backoff(attempt: number, requested: number | undefined): number {
  const seconds = requested ?? Math.min(MIN_BACKOFF_SECONDS * 2 ** (attempt - 1), MAX_BACKOFF_SECONDS);
  return seconds * (1 + JITTER * Math.random());
}
