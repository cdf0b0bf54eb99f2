import { PullwrightError } from '../../client/client.ts';
import type { Problem } from '../../schemas/problem.ts';

/** Any error as a problem, for the places that show one. */
export function asProblem(error: unknown): Problem {
  const type = 'about:blank';
  if (error instanceof PullwrightError) {
    const { status, code, title, message: detail, remedy, errors } = error;
    return { type, status, code, title, detail, ...(remedy && { remedy }), ...(errors && { errors }) };
  }
  const detail = error instanceof Error ? error.message : String(error);
  return { type, status: 0, code: 'page', title: 'Something went wrong in the page', detail };
}
