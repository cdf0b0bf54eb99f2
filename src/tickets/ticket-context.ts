import type { Agents } from '../agents/agents.ts';
import type { KeyedMutex } from '../concurrency/keyed-mutex.ts';
import type { BackgroundRetry } from '../concurrency/retry-in-background.ts';
import type { Config } from '../config/load-config.ts';
import type { Logger } from '../config/logger.ts';
import type { EventLog } from '../events/event-log.ts';
import type { GitProgress } from '../git/progress.ts';
import type { RunEngine } from '../runs/run-engine.ts';
import type { Store } from '../store/open-store.ts';
import type { Workspaces } from '../workspaces/workspaces.ts';
import type { TicketQueries } from './ticket-queries.ts';

export type TicketDeps = {
  config: Pick<Config, 'ALLOWED_REPO_HOSTS'>;
  store: Store;
  log: Pick<EventLog, 'closeRun'>;
  workspaces: Workspaces;
  agents: Pick<Agents, 'purge' | 'claimSpare' | 'attachSpare'>;
  runs: Pick<RunEngine, 'cancelTicket'>;
  logger: Logger;
};

/** Dependencies and state of the functions that change tickets. */
export type TicketContext = TicketDeps & {
  queries: TicketQueries;
  /** Serializes the deletions of a ticket. */
  deletionLock: KeyedMutex;
  /** Progress of the running checkouts, by key of the ticket. */
  checkouts: Map<string, GitProgress>;
  retryInBackground: BackgroundRetry;
};
