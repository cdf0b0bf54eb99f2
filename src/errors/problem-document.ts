import type { Problem } from '../../schemas/problem.ts';
import type { AppError } from './app-error.ts';

/** Media type of a problem document (RFC 9457). */
export const PROBLEM_TYPE = 'application/problem+json';

/** Builds the problem document of an error (RFC 9457 §3.1). */
export function problemDocument(error: AppError): Problem {
  return {
    type: `urn:pullwright:problem:${error.code}`,
    title: error.title,
    status: error.status,
    detail: error.message,
    code: error.code,
    remedy: error.remedy,
    errors: error.errors,
  };
}
