import { abortable } from '../../concurrency/abortable.ts';
import type { Logger } from '../../config/logger.ts';
import type { IdleAgent } from './eviction.ts';
import type { StartedAgent } from './launch-agent.ts';

type Entry = {
  ticketId: string;
  /** `workspaceIdentity` of its workspace. */
  workspace: string;
  /** A time of `Date.now()`. */
  usedAt: number;
  /** Undefined while it waits to start, or starts. */
  agent: StartedAgent | undefined;
  hasBegun: boolean;
  abort: AbortController;
  started: Promise<StartedAgent | undefined>;
  idleTimer?: NodeJS.Timeout;
};

export type PrestartedWriters = ReturnType<typeof createPrestartedWriters>;

/** Holds writers that start before their run exists, at most one a ticket: initialised, without a session. */
export function createPrestartedWriters(idleMs: number, logger: Logger | undefined) {
  const entries = new Map<string, Entry>();

  /** Returns whether no run has taken the writer. */
  const isWaiting = (entry: Entry) => entries.get(entry.ticketId) === entry;

  async function close(entry: Entry): Promise<void> {
    if (isWaiting(entry)) entries.delete(entry.ticketId);
    clearTimeout(entry.idleTimer);
    entry.abort.abort(new Error('The prestarted writer is no longer needed.'));
    await (await entry.started)?.close();
  }

  const closeWaiting = (entry: Entry) => (isWaiting(entry) ? close(entry) : undefined);

  return {
    has: (ticketId: string): boolean => entries.has(ticketId),

    ready: (): IdleAgent[] =>
      [...entries.values()].flatMap((entry) => {
        const { agent, usedAt } = entry;
        return agent ? [{ agent, usedAt, evict: () => closeWaiting(entry) }] : [];
      }),

    /** @param start calls `onBegin` when its start leaves the queue */
    add(
      ticketId: string,
      workspace: string,
      start: (onBegin: () => void, signal: AbortSignal) => Promise<StartedAgent>,
    ): void {
      const abort = new AbortController();
      const started = Promise.resolve<StartedAgent | undefined>(undefined);
      const state = { usedAt: Date.now(), agent: undefined, hasBegun: false };
      const entry: Entry = { ticketId, workspace, ...state, abort, started };
      entries.set(ticketId, entry);
      const onBegin = () => {
        entry.hasBegun = true;
      };
      entry.started = start(onBegin, abort.signal).then(
        (agent) => {
          entry.agent = agent;
          logger?.info({ ticket_id: ticketId, pid: agent.process.pid }, 'prestarted writer ready');
          if (!isWaiting(entry)) return agent;
          entry.idleTimer = setTimeout(() => void close(entry), idleMs).unref();
          void agent.process.exited.then(() => closeWaiting(entry));
          return agent;
        },
        (err) => {
          if (!abort.signal.aborted) logger?.warn({ err, ticket_id: ticketId }, 'failed to prestart writer');
          if (isWaiting(entry)) entries.delete(ticketId);
          return undefined;
        },
      );
    },

    /**
     * Takes the writer of a ticket, and waits for it if it is starting. Closes one that does not match or has not begun to start.
     * @throws AppError, the reason of the signal, when it is aborted; closes the writer then
     */
    async take(
      ticketId: string,
      isMatch: (agent: StartedAgent, workspace: string) => boolean,
      signal: AbortSignal,
    ): Promise<StartedAgent | undefined> {
      const entry = entries.get(ticketId);
      if (entry === undefined) return undefined;
      entries.delete(ticketId);
      clearTimeout(entry.idleTimer);
      try {
        const agent = entry.hasBegun ? await abortable(entry.started, signal) : undefined;
        if (agent && isMatch(agent, entry.workspace)) return agent;
      } catch (error) {
        await close(entry);
        throw error;
      }
      await close(entry);
      return undefined;
    },

    /** Closes the writer of a ticket, if it has one. */
    async closeTicket(ticketId: string): Promise<void> {
      const entry = entries.get(ticketId);
      if (entry) await close(entry);
    },

    async close(): Promise<void> {
      await Promise.all([...entries.values()].map(close));
    },
  };
}
