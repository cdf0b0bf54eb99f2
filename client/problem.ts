import type { components } from './api.ts';

export type Problem = components['schemas']['Problem'];

/** An error answer of the server (RFC 9457), or an answer of something that is not Pullwright. */
export class PullwrightError extends Error {
  override readonly name = 'PullwrightError';
  readonly status: number;
  /** Stable, such as `ticket_not_found`; `not_pullwright` when the answer is not that of a Pullwright server. */
  readonly code: string;
  /** Names the kind of problem in a few words; `message` describes this occurrence. */
  readonly title: string;
  /** Describes how to fix the problem. */
  readonly remedy: string | undefined;
  /** The invalid values of a request. */
  readonly errors: Problem['errors'];

  constructor(status: number, body: unknown) {
    const problem = isProblem(body) ? body : undefined;
    super(problem?.detail ?? `The answer did not come from a Pullwright server (status ${status}).`);
    this.status = status;
    this.code = problem?.code ?? 'not_pullwright';
    this.title = problem?.title ?? 'Unexpected answer';
    this.remedy = problem?.remedy;
    this.errors = problem?.errors;
  }
}

/**
 * Returns the data of an answer; `undefined` for an answer without a body, such as that of a deletion.
 * @example const ticket = await unwrap(client.GET('/v1/tickets/{ticket_id}', { params: { path: { ticket_id } } }));
 * @throws PullwrightError when the server refuses the request, or the answer did not come from a Pullwright server
 */
export async function unwrap<Data>(
  answer: Promise<{ data?: Data; error?: unknown; response: Response }>,
): Promise<Data> {
  const { data, error, response } = await answer;
  if (!hasData(data, response)) throw new PullwrightError(response.status, error);
  return data;
}

/** @throws PullwrightError `not_pullwright` when the content type does not match */
export function checkType({ headers, status }: Response, type: RegExp): void {
  if (!type.test(headers.get('content-type') ?? '')) throw new PullwrightError(status, undefined);
}

/** @throws PullwrightError `not_pullwright` when the body is not a problem; leaves the body unread */
export async function checkProblem(response: Response): Promise<void> {
  const body: unknown = await response
    .clone()
    .json()
    .catch(() => undefined);
  if (!isProblem(body)) throw new PullwrightError(response.status, undefined);
}

function hasData<Data>(data: Data | undefined, { ok, status }: Response): data is Data {
  return ok && (data !== undefined || status === 204);
}

function isProblem(body: unknown): body is Problem {
  return typeof body === 'object' && body !== null && 'code' in body && 'detail' in body;
}
