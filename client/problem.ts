import type { components } from './api.ts';

type Problem = components['schemas']['Problem'];

/** What the server answers instead of what was asked for: its problem (RFC 9457), or the little that is known of it. */
export class PullwrightError extends Error {
  override readonly name = 'PullwrightError';
  readonly status: number;
  /** Stable, such as `ticket_not_found`; `not_pullwright` when what answers is no Pullwright server. */
  readonly code: string;
  /** What kind of problem it is, in a few words; `message` tells of this one. */
  readonly title: string;
  /** What mends it. */
  readonly remedy: string | undefined;
  /** The offending values of a request that is not valid. */
  readonly errors: Problem['errors'];

  constructor(status: number, body: unknown) {
    const problem = isProblem(body) ? body : undefined;
    super(problem?.detail ?? `What answers is not a Pullwright server (status ${status}).`);
    this.status = status;
    this.code = problem?.code ?? 'not_pullwright';
    this.title = problem?.title ?? 'Unexpected answer';
    this.remedy = problem?.remedy;
    this.errors = problem?.errors;
  }
}

/**
 * The data of an answer; `undefined` of one that has none, such as that to a deletion.
 * @example const ticket = await unwrap(client.GET('/v1/tickets/{ticket_id}', { params: { path: { ticket_id } } }));
 * @throws PullwrightError when the server refused, or what answers is not Pullwright
 */
export async function unwrap<Data>(
  answer: Promise<{ data?: Data; error?: unknown; response: Response }>,
): Promise<Data> {
  const { data, error, response } = await answer;
  if (!hasData(data, response)) throw new PullwrightError(response.status, error);
  return data;
}

/** @throws PullwrightError `not_pullwright` when an answer is of another type than the server's would be */
export function checkType({ headers, status }: Response, type: RegExp): void {
  if (!type.test(headers.get('content-type') ?? '')) throw new PullwrightError(status, undefined);
}

function hasData<Data>(data: Data | undefined, { ok, status }: Response): data is Data {
  return ok && (data !== undefined || status === 204);
}

function isProblem(body: unknown): body is Problem {
  return typeof body === 'object' && body !== null && 'code' in body && 'detail' in body;
}
