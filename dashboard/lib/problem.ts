import type { Problem } from '../../schemas/problem.ts';

/** What the server answered instead of what was asked for, or that it did not answer (`status` 0). */
export class RequestFailed extends Error {
  readonly problem: Problem;
  readonly retryAfter: number | undefined;

  constructor(problem: Problem, retryAfter?: number) {
    super(problem.detail);
    this.problem = problem;
    this.retryAfter = retryAfter;
  }
}

/** The problem in an answer; also for what a proxy between may have said. */
export async function failureOf(response: Response): Promise<RequestFailed> {
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN);
  const retryAfter = Number.isFinite(seconds) ? seconds : undefined;
  const json = response.headers.get('content-type')?.includes('problem+json') === true;
  const problem: Problem = json
    ? await response.json()
    : made(response.status, 'unexpected', 'Unexpected answer', `The server answered ${response.status}.`);
  return new RequestFailed(problem, retryAfter);
}

export function unreachable(): RequestFailed {
  return new RequestFailed(
    made(
      0,
      'unreachable',
      'The server does not answer',
      'The request did not get through. Check that the server runs.',
    ),
  );
}

/** Any error as a problem, for the places that show one. */
export function asProblem(error: unknown): Problem {
  if (error instanceof RequestFailed) return error.problem;
  return made(0, 'page', 'Something went wrong in the page', error instanceof Error ? error.message : String(error));
}

function made(status: number, code: string, title: string, detail: string): Problem {
  return { type: 'about:blank', status, code, title, detail };
}
