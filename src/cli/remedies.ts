/** Matches remedies for programs: they name routes, headers or fields of a request. */
const FOR_PROGRAMS =
  /\/v1\/|\/docs\b|force=true|\bheaders?\b|If-Match|X-API-Key|Retry-After|[Aa]ction make_plan|`message`/;

/** Remedies with commands to type, by error code. */
const COMMANDS: Readonly<Record<string, string>> = {
  agent_not_found: 'Check the agents: pullwright doctor.',
  agent_protocol: 'Check the version of the agent: pullwright doctor.',
  agent_unavailable: 'Find out what is missing: pullwright doctor.',
  idempotency_in_progress: 'Try again in a moment.',
  key_not_found: 'List the keys: pullwright keys list.',
  message_required: 'Add a message to the command.',
  permission_not_found: 'List open permissions: pullwright permissions list.',
  plan_not_found: 'Let the agent write a plan: pullwright plan TICKET.',
  plan_version_mismatch: 'Compare the versions: pullwright plan diff. Then save again: pullwright plan edit --file.',
  rate_limited: 'Try again in a minute.',
  run_not_found: 'List the runs: pullwright runs.',
  ticket_not_found: 'List the tickets: pullwright ticket list. Create one: pullwright ticket create.',
  too_many_failures: 'Try again in a minute.',
  unauthorized: 'Set PULLWRIGHT_API_KEY to a valid API key.',
  unpushed_work: 'Publish the work: pullwright dev. Or delete it: pullwright ticket delete --force.',
  workspace_tampered: 'Delete the ticket with pullwright ticket delete --force and create it again.',
  workspace_too_large: 'Raise MAX_WORKSPACE_MB, or delete the ticket: pullwright ticket delete --force.',
  workspace_unreadable: 'Delete the ticket with pullwright ticket delete --force and create it again.',
};

/** Describes an error of the server with a remedy that a person can carry out in a terminal, if there is one. */
export function describeError(error: { code: string; detail: string; remedy?: string | undefined }): string {
  const { code, detail, remedy = '' } = error;
  const shown = FOR_PROGRAMS.test(remedy) ? (COMMANDS[code] ?? '') : remedy;
  return `${detail} ${shown}`.trim();
}
