import type { Agents } from '../agents/agents.ts';
import type { Config } from '../config/load-config.ts';
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

/** The services that actions use. */
export type ActionDeps = {
  config: Pick<
    Config,
    | 'AGENT_SILENCE_SECONDS'
    | 'ALLOWED_REPO_HOSTS'
    | 'MAX_TOKENS_PER_KEY_PER_DAY'
    | 'MAX_TOKENS_PER_RUN'
    | 'MAX_TURNS_PER_RUN'
    | 'REQUIRE_PLAN_APPROVAL'
    | 'RUN_TIMEOUT_SECONDS'
    | 'VERIFY_ATTEMPTS'
    | 'VERIFY_COMMAND'
  >;
  store: Store;
  workspaces: Workspaces;
  sandbox: Sandbox;
  agents: Agents;
  plans: Plans;
  github: GitHub;
  permissions: Permissions;
  redactor: Redactor;
};

/** The attempt that an action belongs to. */
export type RunContext = { run: RunRow; ticket: TicketRow; writer: RunWriter; signal: AbortSignal };
