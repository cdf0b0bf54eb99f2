import type { Account, Repository } from './github-model.ts';

/** An authorized REST request on a repository. */
export type RestRequest = {
  account: Account;
  repository: Repository;
  query: URLSearchParams;
  body: Record<string, unknown>;
  /** Named groups of the route. */
  parameters: Record<string, string>;
  /** All users by login. */
  accounts: ReadonlyMap<string, Account>;
};

export type RestAnswer = { status: number; body: unknown };

export const ok = (body: unknown): RestAnswer => ({ status: 200, body });
export const created = (body: unknown): RestAnswer => ({ status: 201, body });

export const NOT_JSON = refusal(400, 'Problems parsing JSON');
export const NOT_FOUND = refusal(404, 'Not Found');
export const BAD_CREDENTIALS = refusal(401, 'Bad credentials');
export const UNAUTHENTICATED = refusal(401, 'Requires authentication');
export const FORBIDDEN = refusal(403, 'Resource not accessible by personal access token');

export type FieldError = { code: 'missing_field' | 'invalid' | 'custom'; field?: string; message?: string };

/** Creates the response to invalid values: https://docs.github.com/rest/using-the-rest-api/troubleshooting */
export function invalid(...errors: FieldError[]): RestAnswer {
  return refusal(422, 'Validation Failed', { errors: errors.map((error) => ({ resource: 'PullRequest', ...error })) });
}

export function refusal(status: number, message: string, more: object = {}): RestAnswer {
  return {
    status,
    body: { message, ...more, documentation_url: 'https://docs.github.com/rest', status: String(status) },
  };
}
