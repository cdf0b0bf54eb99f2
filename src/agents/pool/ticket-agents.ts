import type { Logger } from '../../config/logger.ts';
import type { Session } from '../acp/session.ts';
import type { IdleAgent } from './eviction.ts';
import type { StartedAgent } from './launch-agent.ts';

export type TicketAgent = {
  ticketId: string;
  /** The run that uses the agent, or the last one while the agent closes. */
  runId: string | undefined;
  agent: StartedAgent;
  /** `workspaceIdentity` of its workspace. */
  workspace: string;
  /** Resolves to its session, or to undefined when it closes without one. */
  opened: PromiseWithResolvers<Session | undefined>;
  /** Whether the session has had no prompt. */
  fresh: boolean;
  /** Idle at zero. */
  uses: number;
  /** A time of `Date.now()`. */
  usedAt: number;
  idleTimer?: NodeJS.Timeout;
  closing: boolean;
};

export type TicketAgents = ReturnType<typeof createTicketAgents>;

/**
 * Holds the agents that belong to a ticket, one a ticket: claimed, working and idle ones.
 * @param deps.idleMs how long an idle one is kept
 * @param deps.onIdle called when one becomes idle
 */
export function createTicketAgents(deps: { idleMs: number; logger: Logger | undefined; onIdle(): void }) {
  const { idleMs, logger } = deps;
  const agents = new Map<string, TicketAgent>();

  /** Adds an agent with one use: by a run, or by the ticket that claims it. */
  function add(ticketId: string, agent: StartedAgent, workspace: string, runId?: string): TicketAgent {
    const opened = Promise.withResolvers<Session | undefined>();
    const state = { fresh: false, uses: 1, usedAt: Date.now(), closing: false };
    const entry: TicketAgent = { ticketId, runId, agent, workspace, opened, ...state };
    agents.set(ticketId, entry);
    void agent.process.exited.then((exit) => {
      const fields = { run_id: entry.runId, ticket_id: ticketId, agent: agent.definition.name, mode: agent.mode };
      logger?.info({ ...fields, pid: agent.process.pid, ...exit }, 'agent exited');
      if (agents.get(ticketId) === entry) void close(ticketId);
    });
    return entry;
  }

  /** Every use is followed by a `release`. */
  function use(entry: TicketAgent, runId: string | undefined): void {
    clearTimeout(entry.idleTimer);
    entry.runId = runId;
    entry.uses += 1;
  }

  /** Releases one use. A reader becomes idle; a writer closes, since its remaining processes could change the workspace. */
  async function release(ticketId: string): Promise<void> {
    const entry = agents.get(ticketId);
    if (!entry || entry.closing) return;
    entry.uses -= 1;
    entry.usedAt = Date.now();
    if (entry.agent.mode === 'write') return close(ticketId);
    if (entry.uses > 0) return;
    entry.runId = undefined;
    entry.idleTimer = setTimeout(() => void close(ticketId), idleMs).unref();
    deps.onIdle();
  }

  /** Closes the ticket's agent, if it has one. */
  async function close(ticketId: string): Promise<void> {
    const entry = agents.get(ticketId);
    if (!entry) return;
    entry.closing = true;
    entry.opened.resolve(undefined);
    clearTimeout(entry.idleTimer);
    await entry.agent.close();
    if (agents.get(ticketId) === entry) agents.delete(ticketId);
  }

  function toIdle(entry: TicketAgent): IdleAgent {
    const { ticketId, agent, usedAt } = entry;
    return { agent, usedAt, evict: () => (isIdle(entry) ? close(ticketId) : undefined) };
  }

  return {
    get: (ticketId: string): TicketAgent | undefined => agents.get(ticketId),
    all: (): TicketAgent[] => [...agents.values()],
    idle: (): IdleAgent[] => [...agents.values()].filter(isIdle).map(toIdle),
    add,
    use,
    release,
    close,
  };
}

function isIdle({ uses, closing }: TicketAgent): boolean {
  return uses === 0 && !closing;
}
