import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { AppError } from '../errors/app-error.ts';
import type { GhRequest, GhResponse } from './gh-api.ts';
import { plainLine } from './plain-line.ts';

const ErrorBody = Type.Object({
  message: Type.String(),
  errors: Type.Optional(
    Type.Array(
      Type.Object({
        field: Type.Optional(Type.String()),
        code: Type.Optional(Type.String()),
        message: Type.Optional(Type.String()),
      }),
    ),
  ),
});

/** GitHub's rule for a rate limit without a time. */
const DEFAULT_WAIT_SECONDS = 60;

/**
 * Returns the seconds to wait after a response about a rate limit, and undefined after any other.
 * https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit
 */
export function rateLimitSeconds(response: GhResponse): number | undefined {
  if (response.kind !== 'response' || (response.status !== 403 && response.status !== 429)) return undefined;
  const {
    'retry-after': retryAfter,
    'x-ratelimit-remaining': remaining,
    'x-ratelimit-reset': reset,
  } = response.headers;
  if (retryAfter !== undefined && /^\d+$/.test(retryAfter)) return Number(retryAfter);
  if (remaining === '0' && reset !== undefined && /^\d+$/.test(reset)) {
    // By the clock of GitHub: that of this machine may be wrong.
    const now = Date.parse(response.headers.date ?? '') || Date.now();
    return Math.max(0, Math.ceil(Number(reset) - now / 1000));
  }
  const limited = response.status === 429 || /rate limit|abuse/i.test(errorBody(response)?.message ?? '');
  return limited ? DEFAULT_WAIT_SECONDS : undefined;
}

/** Returns whether the response is a 422 with an error message that matches, or with an invalid field. */
export function isRefusedFor(response: GhResponse, reason: RegExp | { invalidField: string }): boolean {
  if (response.kind !== 'response' || response.status !== 422) return false;
  const errors = errorBody(response)?.errors ?? [];
  return errors.some(({ message, field, code }) =>
    reason instanceof RegExp
      ? message !== undefined && reason.test(message)
      : field === reason.invalidField && code === 'invalid',
  );
}

/** Converts an unsuccessful response to an AppError. */
export function githubFailure(request: Pick<GhRequest, 'host' | 'method' | 'route'>, response: GhResponse): AppError {
  const { host, method, route } = request;
  if (response.kind === 'unreachable') {
    return new AppError('github_failed', `${host} was not reached (${response.reason}).`, {
      remedy: 'Check the network, the proxy and the certificates of the server, then try again.',
    });
  }
  const detail = `${host} answered ${response.status} to ${method} ${route.replace(/\?.*/, '')}${reasonsOf(response)}.`;
  const seconds = rateLimitSeconds(response);
  if (seconds !== undefined) return new AppError('github_rate_limited', detail, { retryAfter: Math.max(1, seconds) });
  if (response.status === 401) return new AppError('github_auth', detail);
  if (response.status === 403) return new AppError('github_forbidden', detail);
  // The repository was readable before: GitHub hides missing write access behind a 404.
  if (response.status === 404) return new AppError(method === 'GET' ? 'repo_not_found' : 'github_forbidden', detail);
  if (isRefusedFor(response, /no commits between/i)) {
    return new AppError('no_changes', 'The branch has no commits that are not in the base branch.');
  }
  if (isRefusedFor(response, { invalidField: 'base' })) return new AppError('base_branch_not_found', detail);
  return new AppError('github_failed', detail);
}

function reasonsOf(response: GhResponse): string {
  const body = errorBody(response);
  if (body === undefined) return '';
  const reasons = (body.errors ?? []).map(({ message, field, code }) => message ?? `${field} ${code}`);
  return `: ${plainLine([body.message, ...reasons].join('; ')).replace(/\.$/, '')}`;
}

function errorBody(response: GhResponse): Static<typeof ErrorBody> | undefined {
  return response.kind === 'response' && Value.Check(ErrorBody, response.body) ? response.body : undefined;
}
