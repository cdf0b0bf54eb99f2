import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../config/logger.ts';
import type { GhAnswer, GhApi } from './gh-api.ts';
import { rateLimitSeconds } from './github-failure.ts';

const TRIES = 3;
const LONGEST_WAIT_SECONDS = 60;
const FIRST_BACKOFF_SECONDS = 0.25;

/**
 * The same API, trying again where that is safe: after a rate limit that ends within a minute (GitHub did nothing
 * then), and, for GET and PATCH, after a lost connection or a 5xx. A POST whose answer was lost is the caller's matter.
 * @returns the last answer, whatever it is; throws the signal's reason when aborted while waiting
 */
export function withRetries(api: GhApi, logger: Pick<Logger, 'warn'> | undefined): GhApi {
  return async (request) => {
    for (let attempt = 1; ; attempt++) {
      const answer = await api(request);
      const seconds = rateLimitSeconds(answer) ?? backoffSeconds(request.method, answer, attempt);
      if (seconds === undefined || seconds > LONGEST_WAIT_SECONDS || attempt === TRIES) return answer;
      const { method, route } = request;
      const reason = answer.kind === 'answer' ? `HTTP ${answer.status}` : answer.reason;
      logger?.warn({ method, route, attempt, seconds, reason }, 'github request will be tried again');
      await pause(seconds, request.signal);
    }
  };
}

/** Waits; throws the signal's reason when aborted meanwhile. */
export async function pause(seconds: number, signal: AbortSignal): Promise<void> {
  await sleep(seconds * 1000, undefined, { signal }).catch(() => signal.throwIfAborted());
}

function backoffSeconds(method: string, answer: GhAnswer, attempt: number): number | undefined {
  const passing = answer.kind === 'unreachable' || answer.status >= 500;
  return passing && method !== 'POST' ? FIRST_BACKOFF_SECONDS * 3 ** (attempt - 1) : undefined;
}
