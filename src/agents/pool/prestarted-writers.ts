import { abortable } from '../../concurrency/abortable.ts';
import type { Logger } from '../../config/logger.ts';
import type { IdleAgent } from './eviction.ts';
import type { StartedAgent } from './launch-agent.ts';

type Entry = {
  ticketId: string;
  /** Which workspace it is for. */
  place: string;
  usedAt: number;
  /** Undefined until it is started. */
  agent: StartedAgent | undefined;
  /** Whether its start has had its turn. */
  begun: boolean;
  abort: AbortController;
  started: Promise<StartedAgent | undefined>;
  idle?: NodeJS.Timeout;
};

/**
 * Writers that were started before there is a run for them, one a ticket at most: initialised, without a session, and so
 * without anything to do.
 */
export function createEarlyWriters(idleMs: number, logger: Logger | undefined) {
  const entries = new Map<string, Entry>();

  /** Whether nobody has taken it. */
  const isWaiting = (entry: Entry) => entries.get(entry.ticketId) === entry;

  /** Takes it out of the waiting ones and ends it. */
  async function drop(entry: Entry): Promise<void> {
    if (isWaiting(entry)) entries.delete(entry.ticketId);
    clearTimeout(entry.idle);
    entry.abort.abort(new Error('The agent is not needed any more.'));
    await (await entry.started)?.close();
  }

  return {
    has: (ticketId: string): boolean => entries.has(ticketId),

    /** Those that are started. */
    ready: (): IdleAgent[] =>
      [...entries.values()].flatMap((entry) => {
        const { agent, usedAt } = entry;
        const stop = () => (isWaiting(entry) ? drop(entry) : undefined);
        return agent ? [{ agent, usedAt, stop }] : [];
      }),

    /** @param start calls `onBegin` when it has its turn */
    add(
      ticketId: string,
      place: string,
      start: (onBegin: () => void, signal: AbortSignal) => Promise<StartedAgent>,
    ): void {
      const abort = new AbortController();
      const started = Promise.resolve<StartedAgent | undefined>(undefined);
      const entry: Entry = { ticketId, place, usedAt: Date.now(), agent: undefined, begun: false, abort, started };
      entries.set(ticketId, entry);
      const begin = () => {
        entry.begun = true;
      };
      entry.started = start(begin, abort.signal).then(
        (agent) => {
          entry.agent = agent;
          logger?.info({ ticket_id: ticketId, pid: agent.process.pid }, 'agent started early');
          // A run has taken it already: it does not wait any more.
          if (!isWaiting(entry)) return agent;
          entry.idle = setTimeout(() => void drop(entry), idleMs).unref();
          void agent.process.exited.then(() => (isWaiting(entry) ? drop(entry) : undefined));
          return agent;
        },
        (err) => {
          if (!abort.signal.aborted) logger?.warn({ err, ticket_id: ticketId }, 'an agent could not be started early');
          if (isWaiting(entry)) entries.delete(ticketId);
          return undefined;
        },
      );
    },

    /**
     * Takes the ticket's, which may still be starting; one that does not suit, or whose start has not begun, is ended.
     * @throws AppError as the signal says when that is aborted; it is ended then
     */
    async take(
      ticketId: string,
      suits: (agent: StartedAgent, place: string) => boolean,
      signal: AbortSignal,
    ): Promise<StartedAgent | undefined> {
      const entry = entries.get(ticketId);
      if (entry === undefined) return undefined;
      entries.delete(ticketId);
      clearTimeout(entry.idle);
      try {
        const agent = entry.begun ? await abortable(entry.started, signal) : undefined;
        if (agent && suits(agent, entry.place)) return agent;
      } catch (error) {
        await drop(entry);
        throw error;
      }
      await drop(entry);
      return undefined;
    },

    /** Ends the ticket's, if there is one. */
    async end(ticketId: string): Promise<void> {
      const entry = entries.get(ticketId);
      if (entry) await drop(entry);
    },

    /** Ends them all. */
    async close(): Promise<void> {
      await Promise.all([...entries.values()].map(drop));
    },
  };
}
