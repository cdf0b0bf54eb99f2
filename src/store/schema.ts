import type { Generated, Selectable } from 'kysely';
import type { Action, RunState } from '../../schemas/run.ts';

/** Tables of the store. SQLite has no types for times and JSON: times are RFC 3339 text in UTC, JSON is text. */
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
  /** `ticket_id` in lower case. */
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
  /** Why the last clean-up did not park the idle workspace. */
  workspace_kept: Generated<string | null>;
  created_at: string;
  updated_at: string;
};

export type PlanTable = {
  ticket_key: string;
  version: number;
  body: string;
  author: 'agent' | 'person';
  /** The run that wrote it. A run adds at most one version, whatever its number of attempts. */
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
  /** The caller that started the run: a key, `environment` or `loopback`; `null` for runs older than API keys. */
  key_id: string | null;
  state: RunState;
  /** Number of attempts. The writes of an older attempt are rejected. */
  attempt: Generated<number>;
  last_seq: Generated<number>;
  /** Number of this run's newest claim, counted over all runs; `null` before the first. */
  served: number | null;
  /** The agent's id of the conversation. */
  session_id: string | null;
  plan_version: number | null;
  /** JSON: limits from the request. */
  budget: string | null;
  /** JSON: results of finished steps, from which a later attempt continues. */
  progress: Generated<string>;
  /** JSON: tokens used. */
  usage: Generated<string>;
  /** The same figures, for sums. */
  input_tokens: Generated<number>;
  output_tokens: Generated<number>;
  cached_tokens: Generated<number>;
  /** Duration of all attempts. An interrupted attempt counts up to its last write. */
  duration_ms: Generated<number>;
  /** Set before the request to cancel is answered; no attempt starts afterwards. */
  cancel_requested_at: Generated<string | null>;
  result: string | null;
  error: string | null;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
  /** Set before the deletion of the run's first event. */
  events_deleted_at: Generated<string | null>;
};

/** Input and output tokens of the deleted runs that a key started on a day. A trigger maintains it. */
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

/** Permission requests. Derived from the events of runs, in the same transactions. */
export type PermissionTable = {
  permission_id: string;
  run_id: string;
  /** The run's attempt that asked. The next attempt makes the request void. */
  attempt: number;
  /** JSON: `data` of the event `permission.requested`. */
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
  /** JSON. */
  scopes: string;
  /** JSON: `HOST/OWNER/NAME` or `HOST/OWNER/*`, in lower case; `null` for a key without this limit. */
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
  /** Hash of the request: another request with the same key is an error. */
  fingerprint: string;
  /** The run that the request started. */
  run_id: string | null;
  /** The stored answer, with `headers` and `body`; `null` until then. */
  status: number | null;
  /** JSON. */
  headers: string | null;
  body: string | null;
  created_at: string;
};

export type SessionTable = {
  session_id: string;
  /** The key that signed in; `environment` for API_KEY. */
  key_id: string;
  /** SHA-256 over the session's secret and the hash of the key, as hex. */
  secret_hash: string;
  created_at: string;
  expires_at: string;
};

export type RunRow = Selectable<RunTable>;
