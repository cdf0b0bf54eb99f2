/** One row per stable error code: HTTP status, title, whether trying again may help, and what usually mends it. */
export const ERROR_CODES = {
  // requests
  invalid_request: row(400, 'The request is not valid', false, 'Correct the fields named in `errors`.'),
  message_required: row(400, 'A chat needs a message', false, 'Send `message`.'),
  repo_url_invalid: row(
    400,
    'The repository URL is not accepted',
    false,
    'Use https://HOST/OWNER/REPO with a host in ALLOWED_REPO_HOSTS.',
  ),
  unauthorized: row(401, 'No valid API key', false, 'Send the key as `X-API-Key` or `Authorization: Bearer`.'),
  host_not_allowed: row(
    403,
    'This host name is not served',
    false,
    'Call the server by the address it listens on, or add the name to ALLOWED_HOSTS.',
  ),
  not_found: row(404, 'Nothing is here', false, 'See /docs for the routes.'),
  ticket_not_found: row(404, 'There is no such ticket', false, 'Create it with POST /v1/tickets.'),
  run_not_found: row(404, 'There is no such run', false, 'List runs with GET /v1/runs.'),
  plan_not_found: row(404, 'There is no such plan', false, 'Make one with the action make_plan.'),
  agent_not_found: row(404, 'There is no such agent', false, 'List agents with GET /v1/agents.'),
  not_acceptable: row(406, 'No acceptable representation', false, 'Ask for one of the types in the documentation.'),
  ticket_repo_mismatch: row(
    409,
    'The ticket belongs to another repository',
    false,
    'Use another ticket id, or delete the ticket first.',
  ),
  ticket_busy: row(409, 'The ticket is busy', true, 'Wait for its runs to end, or cancel them.'),
  unpushed_work: row(
    409,
    'The workspace holds work that was not pushed',
    false,
    'Run dev to publish it, or delete with force=true.',
  ),
  plan_stale: row(409, 'A newer plan exists', false, 'Read the newest plan and decide again.'),
  plan_not_approved: row(409, 'The plan is not approved', false, 'Approve the newest plan, then run dev again.'),
  run_finished: row(409, 'The run has ended', false, 'Nothing is left to cancel.'),
  plan_version_mismatch: row(
    412,
    'The plan was changed meanwhile',
    false,
    'Read the newest plan, merge your edit and send its ETag in If-Match.',
  ),
  payload_too_large: row(413, 'The request is too large', false, 'Send less.'),
  unsupported_media_type: row(415, 'The body must be JSON', false, 'Send `Content-Type: application/json`.'),
  precondition_required: row(428, 'If-Match is required', false, 'Read the plan and send its ETag in If-Match.'),
  rate_limited: row(429, 'Too many requests', true, 'Wait for the time in Retry-After.'),
  queue_full: row(429, 'The queue is full', true, 'Try again when runs have ended.'),
  shutting_down: row(503, 'The server is stopping', true, 'Try again in a moment.'),
  internal: row(
    500,
    'Something went wrong in the server',
    true,
    'See the server log; please report it with the run id.',
  ),

  // git and GitHub
  clone_failed: row(502, 'The repository could not be fetched', true, 'Try again; the detail says what git answered.'),
  repo_not_found: row(
    404,
    'The repository was not found',
    false,
    'Check the URL and that the GitHub token may read it.',
  ),
  repo_empty: row(422, 'The repository has no commit', false, 'Push a first commit to it.'),
  base_branch_not_found: row(
    422,
    'The base branch was not found',
    false,
    'Name a branch that exists in the repository.',
  ),
  path_clash: row(
    422,
    'Two paths of the repository cannot both exist on this file system',
    false,
    'Rename one of them, or use a case-sensitive file system for TICKETS_ROOT.',
  ),
  network_unreachable: row(502, 'The git server was not reached', true, 'Check the network and try again.'),
  disk_full: row(507, 'The disk is full', true, 'Free space under DATA_DIR and TICKETS_ROOT.'),
  push_rejected: row(
    409,
    'The push was refused',
    false,
    'The branch moved on the remote or is protected; see the detail.',
  ),
  merge_conflict: row(
    409,
    'The base branch conflicts with the ticket branch',
    false,
    'Resolve the named files on the branch.',
  ),
  file_too_large: row(422, 'A file is too large for GitHub', false, 'Remove the file or track it with Git LFS.'),
  secret_in_diff: row(
    422,
    'The commit would publish a secret of the server',
    false,
    'Remove the secret from the named files in the workspace, replace it where it is issued, and run dev again.',
  ),
  protected_paths: row(
    422,
    'Only protected paths were changed',
    false,
    'Make the change yourself, or let it through by PROTECTED_PATHS; it is kept in the workspace.',
  ),
  workspace_tampered: row(
    409,
    'The workspace is not what the server made',
    false,
    'Delete the ticket with force=true and create it again.',
  ),
  github_auth: row(
    502,
    'GitHub refused the credentials',
    false,
    'Set GITHUB_TOKEN to a token with contents and pull requests write access.',
  ),
  github_forbidden: row(
    502,
    'The GitHub token lacks a right',
    false,
    'Give the token contents and pull requests write access to the repository.',
  ),
  github_rate_limited: row(503, 'GitHub limits the rate', true, 'Wait for the time GitHub names.'),
  github_failed: row(502, 'GitHub did not answer as expected', true, 'Try again; see https://www.githubstatus.com.'),

  // runs
  agent_unavailable: row(503, 'The agent cannot be started', true, 'See GET /v1/agents for what is missing.'),
  agent_auth: row(502, 'The model refused the key', false, 'Set GEMINI_API_KEY to a valid key.'),
  agent_crashed: row(502, 'The agent ended unexpectedly', true, 'Run the command again; the conversation is kept.'),
  agent_protocol: row(502, 'The agent broke the protocol', true, 'Check the version of the agent in GET /v1/agents.'),
  agent_refused: row(422, 'The model refused to answer', false, 'Rephrase the request.'),
  model_rate_limited: row(503, 'The model limits the rate', true, 'Wait a minute, or use a key with a higher quota.'),
  model_failed: row(502, 'The model did not answer', true, 'Try again; the detail says what it answered.'),
  budget_exceeded: row(422, 'The budget is spent', false, 'Raise MAX_TOKENS_PER_RUN, or ask for less at once.'),
  workspace_too_large: row(
    422,
    'The workspace has grown too large',
    false,
    'Raise MAX_WORKSPACE_MB, or delete the ticket with force=true and ask for less.',
  ),
  plan_empty: row(
    502,
    'The agent wrote no plan',
    true,
    'Run make_plan again, with a message that says what is wanted.',
  ),
  timed_out: row(504, 'The run took too long', true, 'Raise RUN_TIMEOUT_SECONDS, or ask for less at once.'),
  canceled: row(409, 'The run was canceled', true, 'Start it again when wanted.'),
  no_changes: row(422, 'The agent changed nothing', true, 'Say in the message or the plan what is to change.'),
  verify_failed: row(422, 'The check command failed', true, 'See the run log; the work is kept in the workspace.'),
  interrupted: row(503, 'The server stopped during the run', true, 'Run the command again; the workspace is intact.'),
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

function row(status: number, title: string, retryable: boolean, remedy: string) {
  return { status, title, retryable, remedy };
}
