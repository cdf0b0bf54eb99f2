import t from 'tap';
import { PullwrightError } from '../../../client/client.ts';
import { asProblem, remedyOf } from '../../../dashboard/lib/problem.ts';
import { ERROR_CODES } from '../../../src/errors/error-codes.ts';

/** Routes, headers and parameters of the API. */
const API_TERMS =
  /\b(?:GET|POST|PUT|DELETE) \/|\/docs|`|force=|If-Match|Retry-After|Idempotency-Key|Last-Event-ID|the header|Content-|HTTP\/|X-API/;

/** Errors of requests that the page never sends. */
const UNREACHABLE: ReadonlySet<string> = new Set([
  'method_not_allowed',
  'unsupported_media_type',
  'expectation_failed',
  'precondition_required',
  'not_implemented',
  'http_version_not_supported',
]);

t.test('remedyOf names no route, header or parameter for any error that the page can receive', async (t) => {
  for (const [code, { remedy }] of Object.entries(ERROR_CODES)) {
    if (!UNREACHABLE.has(code)) t.notMatch(remedyOf({ code, remedy }), API_TERMS, code);
  }
});

t.test('asProblem replaces the messages of JSON Schema', async (t) => {
  const errors = [
    { path: '/ticket_id', message: 'must match pattern "^[A-Z]+$"' },
    { path: '/repo_url', message: 'must NOT have fewer than 1 characters' },
    { path: '/title', message: 'must NOT have more than 200 characters' },
    { path: '/base_branch', message: 'the name ends with a dot' },
  ];
  const detail = 'The body is not valid: /ticket_id must match pattern "^[A-Z]+$".';
  const body = { code: 'invalid_request', title: 'The request is not valid', detail, errors };
  t.match(asProblem(new PullwrightError(400, body)), {
    status: 400,
    detail: 'Some values are not valid.',
    errors: [
      { path: '/ticket_id', message: 'has an invalid format' },
      { path: '/repo_url', message: 'is required' },
      { path: '/title', message: 'must not have more than 200 characters' },
      { path: '/base_branch', message: 'the name ends with a dot' },
    ],
  });
});

t.test('asProblem keeps the detail of other errors', async (t) => {
  const error = new PullwrightError(409, {
    code: 'ticket_busy',
    title: 'The ticket is busy',
    detail: 'A run is active.',
  });
  t.match(asProblem(error), { code: 'ticket_busy', detail: 'A run is active.' });
  t.match(asProblem(new TypeError('boom')), { code: 'page', detail: 'boom' });
});
