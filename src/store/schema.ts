import type { Generated, Selectable } from 'kysely';
import type { Action, RunState } from '../../schemas/run.ts';

/** SQLite has no types for times and JSON: times are RFC 3339 text in UTC, JSON is text. */
export type Database = {
  tickets: TicketTable;
  plans: PlanTable;
  runs: RunTable;
  deleted_usage: DeletedUsageTable;
  events: EventTable;
  permissions: PermissionTable;
  keys: KeyTable;
  audit: AuditTable;
  sessions: SessionTable;
  idempotency: IdempotencyTable;
};

export type TicketTable = {
  /** `ticket_id` in lower case: ids are unique without regard to case. */
  ticket_key: string;
  ticket_id: string;
  repo_url: string;
  title: string | null;
  description: string | null;
  branch: string;
  base_branch: string;
  state: 'creating' | 'ready' | 'deleting';
  pull_request_number: number | null;
  pull_request_url: string | null;
  /** Why the last clean-up left the workspace where it is, though nobody works with it. */
  workspace_kept: Generated<string | null>;
  created_at: string;
  updated_at: string;
};

export type PlanTable = {
  ticket_key: string;
  version: number;
  body: string;
  author: 'agent' | 'person';
  /** The run that wrote it: each adds at most one version, however often it is started. */
  run_id: string | null;
  approved_at: string | null;
  created_at: string;
};

export type RunTable = {
  run_id: string;
  ticket_key: string;
  ticket_id: string;
  action: Action;
  message: string | null;
  agent: string;
  /** Who started it: a key, `environment` or `loopback`; `null` before there were keys. */
  key_id: string | null;
  state: RunState;
  /** Grows with each start; a writer that names an older attempt writes nothing. */
  attempt: Generated<number>;
  last_seq: Generated<number>;
  /** Number of this run's last start among the starts of all runs; `null` while it was never started. */
  served: number | null;
  /** The agent's own id of the conversation the run was part of. */
  session_id: string | null;
  plan_version: number | null;
  /** JSON: what the request allows the run to use. */
  budget: string | null;
  /** JSON: what the steps that are done left behind, so that a later attempt goes on after them. */
  progress: Generated<string>;
  /** JSON: tokens used. */
  usage: Generated<string>;
  /** The same as numbers, for sums. */
  input_tokens: Generated<number>;
  output_tokens: Generated<number>;
  cached_tokens: Generated<number>;
  /** How long the attempts at the run took so far; of one that was cut short, up to what it wrote last. */
  duration_ms: Generated<number>;
  /** Set before the request to cancel is answered: from then on no attempt is begun. */
  cancel_requested_at: Generated<string | null>;
  result: string | null;
  error: string | null;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
  /** Set before the first of its events is deleted: from then on they are gone. */
  events_deleted_at: Generated<string | null>;
};

/** Tokens, input and output together, of deleted runs that a key asked for on a day; filled by a trigger. */
export type DeletedUsageTable = {
  key_id: string;
  /** Such as 2026-07-01. */
  day: string;
  tokens: number;
};

export type EventTable = {
  run_id: string;
  seq: number;
  time: string;
  type: string;
  data: string;
};

/** What a person was asked; made from the events of runs, in their transactions. */
export type PermissionTable = {
  permission_id: string;
  run_id: string;
  /** Attempt of the run that asked; the question is void once there is another. */
  attempt: number;
  /** JSON: `data` of the event that asked. */
  question: string;
  asked_at: string;
  deadline: string;
  decision: 'allow' | 'reject' | null;
  decided_by: string | null;
  resolved_at: string | null;
};

export type KeyTable = {
  key_id: string;
  name: string;
  /** SHA-256 of the secret, as hex. */
  secret_hash: string;
  /** JSON: the scopes. */
  scopes: string;
  /** JSON: the repositories the key is limited to, as `HOST/OWNER/NAME` or `HOST/OWNER/*` in lower case. */
  repositories: string | null;
  created_at: string;
  expires_at: string | null;
  last_used_at: string | null;
  revoked_at: string | null;
};

export type AuditTable = {
  seq: Generated<number>;
  time: string;
  actor: string;
  address: string;
  method: string;
  operation: string;
  ticket_id: string | null;
  run_id: string | null;
  key_id: string | null;
  status: number;
  code: string | null;
};

export type IdempotencyTable = {
  /** Hash of the caller, the method, the route and the Idempotency-Key. */
  record_id: string;
  /** Hash of the request, to tell another one with the same key. */
  fingerprint: string;
  /** The run that the request started. */
  run_id: string | null;
  /** The answer; all `null` until there is one that is kept. */
  status: number | null;
  /** JSON: the headers that belong to the answer. */
  headers: string | null;
  body: string | null;
  created_at: string;
};

export type SessionTable = {
  session_id: string;
  /** The key that was given; `environment` for API_KEY. */
  key_id: string;
  /** SHA-256 over the secret of the session and the hash of the key, as hex. */
  secret_hash: string;
  created_at: string;
  expires_at: string;
};

export type RunRow = Selectable<RunTable>;
