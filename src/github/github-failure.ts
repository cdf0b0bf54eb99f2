import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { AppError } from '../errors/app-error.ts';
import type { GhAnswer, GhRequest } from './gh-api.ts';
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

/** GitHub asks to wait at least a minute when it names no time. */
const UNNAMED_WAIT_SECONDS = 60;

/**
 * Seconds to wait when the answer says that the rate is limited, else undefined.
 * https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit
 */
export function rateLimitSeconds(answer: GhAnswer): number | undefined {
  if (answer.kind !== 'answer' || (answer.status !== 403 && answer.status !== 429)) return undefined;
  const { 'retry-after': retryAfter, 'x-ratelimit-remaining': remaining, 'x-ratelimit-reset': reset } = answer.headers;
  if (retryAfter !== undefined && /^\d+$/.test(retryAfter)) return Number(retryAfter);
  if (remaining === '0' && reset !== undefined && /^\d+$/.test(reset)) {
    // Compared with GitHub's own clock: this machine's may be wrong.
    const now = Date.parse(answer.headers.date ?? '') || Date.now();
    return Math.max(0, Math.ceil(Number(reset) - now / 1000));
  }
  const limited = answer.status === 429 || /rate limit|abuse/i.test(errorBody(answer)?.message ?? '');
  return limited ? UNNAMED_WAIT_SECONDS : undefined;
}

/** Whether a 422 says so: some message matches, or the field is named as invalid. */
export function isRefusedFor(answer: GhAnswer, reason: RegExp | { invalidField: string }): boolean {
  if (answer.kind !== 'answer' || answer.status !== 422) return false;
  const errors = errorBody(answer)?.errors ?? [];
  return errors.some(({ message, field, code }) =>
    reason instanceof RegExp
      ? message !== undefined && reason.test(message)
      : field === reason.invalidField && code === 'invalid',
  );
}

/** An answer that is not a success, as the error it means for the person who asked. */
export function githubFailure(request: Pick<GhRequest, 'host' | 'method' | 'route'>, answer: GhAnswer): AppError {
  const { host, method, route } = request;
  const asked = `${method} ${route.replace(/\?.*/, '')}`;
  if (answer.kind === 'unreachable') {
    return new AppError('github_failed', `${host} was not reached (${answer.reason}).`, {
      remedy: 'Check the network, the proxy and the certificates of the server, then try again.',
    });
  }
  const said = `${host} answered ${answer.status} to ${asked}${words(answer)}.`;
  const seconds = rateLimitSeconds(answer);
  if (seconds !== undefined) return new AppError('github_rate_limited', said, { retryAfter: Math.max(1, seconds) });
  if (answer.status === 401) return new AppError('github_auth', said);
  if (answer.status === 403) return new AppError('github_forbidden', said);
  // A repository that was readable a moment ago: GitHub hides missing write access behind 404.
  if (answer.status === 404) return new AppError(method === 'GET' ? 'repo_not_found' : 'github_forbidden', said);
  if (isRefusedFor(answer, /no commits between/i)) {
    return new AppError('no_changes', 'The branch holds no commit that the base branch does not have.');
  }
  if (isRefusedFor(answer, { invalidField: 'base' })) return new AppError('base_branch_not_found', said);
  return new AppError('github_failed', said);
}

function words(answer: GhAnswer): string {
  const body = errorBody(answer);
  if (body === undefined) return '';
  const reasons = (body.errors ?? []).map(({ message, field, code }) => message ?? `${field} ${code}`);
  return `: ${plainLine([body.message, ...reasons].join('; ')).replace(/\.$/, '')}`;
}

function errorBody(answer: GhAnswer): Static<typeof ErrorBody> | undefined {
  return answer.kind === 'answer' && Value.Check(ErrorBody, answer.body) ? answer.body : undefined;
}
