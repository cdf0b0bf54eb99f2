import { PullwrightError } from '../../client/client.ts';
import type { Problem } from '../../schemas/problem.ts';

/** Remedies of the page, for codes where the remedy of the server names a route, a header or a field of a request. */
const REMEDIES: Partial<Record<string, string>> = {
  not_pullwright: 'Check the proxy in front of the server, then reload the page.',
  invalid_request: 'Correct the values and try again.',
  message_required: 'Enter a message.',
  unauthorized: 'Check the key, or ask an admin for a new one.',
  cross_origin: 'Reload the page and try again.',
  forbidden_scope: 'Sign in with a key that has this scope.',
  not_found: 'Reload the page.',
  cursor_unknown: 'Reload the page.',
  ticket_not_found: 'Return to the list of tickets.',
  run_not_found: 'Return to the list of runs.',
  permission_not_found: 'Reload the page.',
  key_not_found: 'Reload the page.',
  plan_not_found: 'Run make plan.',
  ticket_busy: 'Wait for its runs to finish, or cancel them.',
  idempotency_in_progress: 'Wait a moment and try again.',
  secret_shown_once: 'Revoke the new key in the list, then create another one.',
  unpushed_work: 'Run dev to publish this work. Deleting the ticket deletes it.',
  plan_version_mismatch: 'Compare your text with the latest version, then save again.',
  events_expired: 'Only the outcome of this run is still available.',
  payload_too_large: 'Shorten the text.',
  rate_limited: 'Wait a minute and try again.',
  too_many_failures: 'Wait a minute and try again.',
  too_many_streams: 'Close other tabs of the dashboard.',
};

/** Returns the remedy of a problem in terms of the page. */
export function remedyOf({ code, remedy }: Pick<Problem, 'code' | 'remedy'>): string | undefined {
  return REMEDIES[code] ?? remedy?.replaceAll('GET /v1/agents', 'the page Agents').replaceAll(' with force=true', '');
}

/** The message of a field whose value does not match its pattern. */
export const INVALID_FORMAT = 'has an invalid format';

/** Converts any error to a problem. Messages of JSON Schema validation become those of a form. */
export function asProblem(error: unknown): Problem {
  const type = 'about:blank';
  if (error instanceof PullwrightError) {
    const { status, code, title, message, remedy } = error;
    const errors = error.errors?.map(({ path, message }) => ({ path, message: fieldMessage(message) }));
    const ofSchema = error.errors?.some(({ message }) => /^must (?:match|NOT) /.test(message)) === true;
    const detail = ofSchema ? 'Some values are not valid.' : message;
    return { type, status, code, title, detail, ...(remedy && { remedy }), ...(errors && { errors }) };
  }
  const detail = error instanceof Error ? error.message : String(error);
  return { type, status: 0, code: 'page', title: 'Unexpected error in the dashboard', detail };
}

function fieldMessage(message: string): string {
  if (message.startsWith('must match pattern')) return INVALID_FORMAT;
  if (message.startsWith('must NOT have fewer than 1 ')) return 'is required';
  return message.replace('must NOT have', 'must not have');
}
