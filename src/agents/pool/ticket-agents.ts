import type { Logger } from '../../config/logger.ts';
import type { Session } from '../acp/session.ts';
import type { IdleAgent } from './eviction.ts';
import type { StartedAgent } from './launch-agent.ts';

export type LiveAgent = {
  ticketId: string;
  /** The run that works with it, or, while it ends, the one that did. */
  runId: string | undefined;
  agent: StartedAgent;
  /** What `placeOf` said of its workspace. */
  place: string;
  /** Its session, once it has one; undefined when it got none. */
  opened: PromiseWithResolvers<Session | undefined>;
  /** Nobody has talked to it yet. */
  fresh: boolean;
  /** It is idle when there are none. */
  uses: number;
  usedAt: number;
  idle?: NodeJS.Timeout;
  /** It is on its way out, and not gone yet. */
  ending: boolean;
};

/**
 * The agents of tickets that have, or are about to get, a session: one a ticket.
 * @param deps.idleMs how long an idle one is kept
 * @param deps.onIdle called when one has become idle
 */
export function createLiveAgents(deps: { idleMs: number; logger: Logger | undefined; onIdle(): void }) {
  const { idleMs, logger } = deps;
  const live = new Map<string, LiveAgent>();

  /** Notes an agent as the ticket's; it has no use yet. */
  function enter(ticketId: string, agent: StartedAgent, place: string): LiveAgent {
    const opened = Promise.withResolvers<Session | undefined>();
    const state = { fresh: false, uses: 0, usedAt: Date.now(), ending: false };
    const entry: LiveAgent = { ticketId, runId: undefined, agent, place, opened, ...state };
    live.set(ticketId, entry);
    void agent.process.exited.then((exit) => {
      const about = { run_id: entry.runId, ticket_id: ticketId, agent: agent.definition.name, mode: agent.mode };
      logger?.info({ ...about, pid: agent.process.pid, ...exit }, 'agent ended');
      if (live.get(ticketId) === entry) void end(ticketId);
    });
    return entry;
  }

  function use(entry: LiveAgent, runId?: string): void {
    clearTimeout(entry.idle);
    entry.runId = runId;
    entry.uses += 1;
  }

  /** Ends one use: what may write is ended with its turn, the rest is kept for a while. */
  async function release(ticketId: string): Promise<void> {
    const entry = live.get(ticketId);
    if (!entry || entry.ending) return;
    entry.uses -= 1;
    entry.usedAt = Date.now();
    if (entry.agent.mode === 'write') return end(ticketId);
    if (entry.uses > 0) return;
    entry.runId = undefined;
    entry.idle = setTimeout(() => void end(ticketId), idleMs).unref();
    deps.onIdle();
  }

  async function end(ticketId: string): Promise<void> {
    const entry = live.get(ticketId);
    if (!entry) return;
    entry.ending = true;
    entry.opened.resolve(undefined);
    clearTimeout(entry.idle);
    await entry.agent.close();
    if (live.get(ticketId) === entry) live.delete(ticketId);
  }

  function asIdle(entry: LiveAgent) {
    const { ticketId, agent, usedAt } = entry;
    return { agent, usedAt, stop: () => (isIdle(entry) ? end(ticketId) : undefined) };
  }

  return {
    get: (ticketId: string): LiveAgent | undefined => live.get(ticketId),
    all: (): LiveAgent[] => [...live.values()],
    idle: (): IdleAgent[] => [...live.values()].filter(isIdle).map(asIdle),
    enter,
    use,
    release,
    end,
  };
}

function isIdle({ uses, ending }: LiveAgent): boolean {
  return uses === 0 && !ending;
}
