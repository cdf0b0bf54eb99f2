import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../config/logger.ts';
import type { GhApi, GhResponse } from './gh-api.ts';
import { rateLimitSeconds } from './github-failure.ts';

const MAX_ATTEMPTS = 3;
const MAX_WAIT_SECONDS = 60;
const FIRST_BACKOFF_SECONDS = 0.25;

/**
 * Adds retries where they are safe: after a rate limit of at most a minute, and after a lost connection or a 5xx to GET or
 * PATCH. The caller handles a POST whose response was lost.
 * @returns an API that returns the last response, and throws the signal's reason when aborted during a wait
 */
export function withRetries(api: GhApi, logger: Pick<Logger, 'warn'> | undefined): GhApi {
  return async (request) => {
    for (let attempt = 1; ; attempt++) {
      const response = await api(request);
      const seconds = rateLimitSeconds(response) ?? backoffSeconds(request.method, response, attempt);
      if (seconds === undefined || seconds > MAX_WAIT_SECONDS || attempt === MAX_ATTEMPTS) return response;
      const { method, route } = request;
      const reason = response.kind === 'response' ? `HTTP ${response.status}` : response.reason;
      logger?.warn({ method, route, attempt, seconds, reason }, 'retrying github request');
      await pause(seconds, request.signal);
    }
  };
}

/** @throws the signal's reason when aborted */
export async function pause(seconds: number, signal: AbortSignal): Promise<void> {
  await sleep(seconds * 1000, undefined, { signal }).catch(() => signal.throwIfAborted());
}

function backoffSeconds(method: string, response: GhResponse, attempt: number): number | undefined {
  const isTransient = response.kind === 'unreachable' || response.status >= 500;
  return isTransient && method !== 'POST' ? FIRST_BACKOFF_SECONDS * 3 ** (attempt - 1) : undefined;
}
