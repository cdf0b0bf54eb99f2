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

/** What the actions work with. */
export type ActionDeps = {
  config: Config;
  store: Store;
  workspaces: Workspaces;
  sandbox: Sandbox;
  agents: Agents;
  plans: Plans;
  github: GitHub;
  permissions: Permissions;
  redactor: Redactor;
};

/** The run that an action carries out: one attempt of it. */
export type RunContext = { run: RunRow; ticket: TicketRow; writer: RunWriter; signal: AbortSignal };
