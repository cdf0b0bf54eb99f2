import { Problem } from '../../../schemas/problem.ts';
import { ERROR_CODES, type ErrorCode } from '../../../src/errors/error-codes.ts';
import { TREE_REFUSALS } from '../../../src/workspaces/scan/tree-limits.ts';

const CREATION_ERRORS: readonly ErrorCode[] = [
  'repo_url_invalid',
  'ticket_repo_mismatch',
  'repo_not_found',
  'base_branch_not_found',
  'merge_conflict',
  ...TREE_REFUSALS,
];

/** Errors of single operations, besides those that follow from the shape of the route. */
const OPERATION_ERRORS: Readonly<Record<string, readonly ErrorCode[]>> = {
  createTicket: CREATION_ERRORS,
  createTicketSimple: CREATION_ERRORS,
  backUp: ['backup_under_way'],
  deleteTicket: ['unpushed_work', 'ticket_busy'],
  syncTicket: ['merge_conflict', ...TREE_REFUSALS],
  getPlan: ['plan_not_found'],
  putPlan: ['plan_not_found', 'plan_version_mismatch', 'precondition_required'],
  approvePlan: ['plan_not_found', 'plan_stale'],
  createRun: ['message_required', 'agent_not_found', 'queue_full'],
  sendCommand: ['message_required', 'ticket_not_found', 'queue_full', 'too_many_streams'],
  cancelRun: ['run_finished'],
  getRunEvents: ['cursor_unknown', 'events_expired', 'too_many_streams'],
  getChanges: ['too_many_streams'],
  answerPermission: ['permission_not_found', 'permission_resolved'],
};

type Route = {
  method: string | readonly string[];
  url: string;
  isPublic: boolean;
  schema: { operationId?: string; body?: unknown; querystring?: unknown; params?: unknown };
};

/** Collects the error responses of routes, and one example for each error code. */
export function createProblems() {
  const examples: Record<string, { value: Problem }> = {};

  /** Adds the example of an error code and returns a reference to it. */
  function exampleOf(code: ErrorCode) {
    const { status, title, remedy } = ERROR_CODES[code];
    const type = `urn:pullwright:problem:${code}`;
    examples[code] = { value: { type, title, status, detail: `${title}.`, code, remedy } };
    return { $ref: `#/components/examples/${code}` };
  }

  /** Returns the error responses of a route by status; each description lists its codes. */
  function responses(route: Route): Record<string, object> {
    const byStatus = Map.groupBy(new Set(codesOf(route)), (code) => ERROR_CODES[code].status);
    return Object.fromEntries(
      [...byStatus].map(([status, codes]) => [
        status,
        {
          description: codes.map((code) => `\`${code}\`: ${ERROR_CODES[code].title}.`).join(' '),
          content: {
            'application/problem+json': {
              schema: Problem,
              examples: Object.fromEntries(codes.map((code) => [code, exampleOf(code)])),
            },
          },
        },
      ]),
    );
  }

  return { examples, responses };
}

function codesOf({ method, url, isPublic, schema }: Route): ErrorCode[] {
  const { operationId = '', body, querystring, params } = schema;
  const takesInput = [body, querystring, params].some((part) => part !== undefined);
  return [
    ...(takesInput ? (['invalid_request'] as const) : []),
    ...(isPublic ? [] : (['unauthorized', 'forbidden_scope', 'host_not_allowed'] as const)),
    ...(url.includes(':ticket_id') ? (['ticket_not_found'] as const) : []),
    ...(url.includes(':run_id') ? (['run_not_found'] as const) : []),
    ...(url.includes(':key_id') ? (['key_not_found'] as const) : []),
    ...(body === undefined ? [] : (['payload_too_large', 'unsupported_media_type'] as const)),
    ...(method === 'POST' && !isPublic ? (['idempotency_in_progress', 'idempotency_key_reused'] as const) : []),
    'rate_limited',
    ...(OPERATION_ERRORS[operationId] ?? []),
  ];
}
