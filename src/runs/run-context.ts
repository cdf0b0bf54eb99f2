import type { Agents } from '../agents/agents.ts';
import type { Config } from '../config/load-config.ts';
import type { Logger } from '../config/logger.ts';
import type { EventLog } from '../events/event-log.ts';
import type { GitHub } from '../github/pull-requests.ts';
import type { Plans } from '../plans/plans.ts';
import type { Redactor } from '../redaction/redactor.ts';
import type { Sandbox } from '../sandbox/sandbox.ts';
import type { Store } from '../store/open-store.ts';
import type { RunRow } from '../store/schema.ts';
import type { TicketRow } from '../store/tickets.ts';
import type { Workspaces } from '../workspaces/workspaces.ts';
import type { Permissions } from './permissions.ts';
import type { RunWriter } from './run-writer.ts';

type RunConfig = Pick<
  Config,
  | 'AGENT'
  | 'AGENT_SILENCE_SECONDS'
  | 'ALLOWED_REPO_HOSTS'
  | 'DATA_DIR'
  | 'MAX_CONCURRENT_RUNS'
  | 'MAX_QUEUED_RUNS'
  | 'MAX_RUN_OUTPUT_MB'
  | 'MAX_RUNS_PER_KEY'
  | 'MAX_TOKENS_PER_KEY_PER_DAY'
  | 'MAX_TOKENS_PER_RUN'
  | 'MAX_TURNS_PER_RUN'
  | 'REQUIRE_PLAN_APPROVAL'
  | 'RUN_MAX_ATTEMPTS'
  | 'RUN_TIMEOUT_SECONDS'
  | 'TICKETS_ROOT'
  | 'VERIFY_ATTEMPTS'
  | 'VERIFY_COMMAND'
>;

/** The services that actions use. */
export type ActionDeps = {
  config: RunConfig;
  store: Store;
  workspaces: Workspaces;
  sandbox: Sandbox;
  agents: Agents;
  plans: Plans;
  github: GitHub;
  permissions: Permissions;
  redactor: Redactor;
};

/** The services and functions that persist what becomes of a run. */
export type AttemptDeps = ActionDeps & {
  log: EventLog;
  logger: Logger;
  /** Replaces the server's folders in a text for clients. */
  hidePaths: (text: string) => string;
  /** Aborted when the server stops. */
  stopping: AbortSignal;
};

/** The attempt that an action belongs to. */
export type RunContext = { run: RunRow; ticket: TicketRow; writer: RunWriter; signal: AbortSignal };
