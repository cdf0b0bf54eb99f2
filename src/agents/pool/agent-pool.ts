import { availableParallelism } from 'node:os';
import type { PoolState } from '../../../schemas/agent.ts';
import type { Config } from '../../config/load-config.ts';
import type { Logger } from '../../config/logger.ts';
import { AppError } from '../../errors/app-error.ts';
import { createLayout } from '../../files/layout.ts';
import { removeTree } from '../../trees/remove-tree.ts';
import { createTrash } from '../../trees/trash.ts';
import type { AgentDefinition } from '../agent-definition.ts';
import { conversationFolder } from '../conversations.ts';
import { type AcquireDeps, type AcquiredAgent, type AgentRequest, acquireAgent, launchRequest } from './acquire.ts';
import { createCompileCache } from './compile-cache.ts';
import { createEviction } from './eviction.ts';
import {
  type LaunchDeps,
  type LaunchRequest,
  launchAgent,
  type StartedAgent,
  withStartTimeout,
} from './launch-agent.ts';
import { createPrestartedWriters } from './prestarted-writers.ts';
import { isCurrent, workspaceIdentity } from './reuse.ts';
import { createSpareAgents, type SpareFolders } from './spare-agents.ts';
import { createStartScheduler, type StartScheduler } from './start-scheduler.ts';
import { createTicketAgents, type TicketAgent } from './ticket-agents.ts';

/**
 * The agent pool holds every process of an agent. A process is in one of these states:
 *
 * - starting: launched in its sandbox, until it is initialised
 * - spare: a reader in two empty folders, without a ticket or a session (`SpareAgents`)
 * - claimed: a spare whose folders belong to a new ticket, without a session (`TicketAgents`)
 * - prestarted: a writer that waits for the run of an approved plan, without a session (`PrestartedWriters`)
 * - working: has a session, and a turn uses it (`TicketAgents`)
 * - idle: a reader with a session, between turns (`TicketAgents`)
 * - closing: the sandbox kills its processes
 *
 * | from                    | to         | when                                                                              |
 * | ----------------------- | ---------- | --------------------------------------------------------------------------------- |
 * |                         | starting   | in the background for a spare or a prestarted writer; in the foreground for a run |
 * | starting                | spare      | initialised for no ticket                                                         |
 * | starting                | prestarted | initialised for an approved plan                                                  |
 * | starting                | working    | initialised for a run, and its session is open                                    |
 * | spare                   | claimed    | `claimSpare`                                                                      |
 * | claimed                 | idle       | `attachSpare` has opened its session                                              |
 * | claimed, idle           | working    | `acquire`, if it matches the request                                              |
 * | prestarted              | working    | `acquire` in mode `write`, if it matches                                          |
 * | working                 | idle       | `release` of a reader                                                             |
 * | working                 | closing    | `release` of a writer; the turn was aborted, or the process became unreliable    |
 * | claimed                 | closing    | it cannot open a session                                                          |
 * | claimed, idle           | closing    | it does not match a request                                                       |
 * | prestarted              | closing    | it does not match a request, or has not begun to start                            |
 * | idle, prestarted        | closing    | unused for AGENT_IDLE_SECONDS                                                     |
 * | idle, prestarted, spare | closing    | evicted: too many, too much memory, outdated, unresponsive                        |
 * | any                     | closing    | its ticket is deleted or parked; the server stops; the process exits              |
 */
export type AgentPool = ReturnType<typeof createAgentPool>;

export type AgentPoolDeps = Omit<LaunchDeps, 'config' | 'compileCache'> & {
  config: LaunchDeps['config'] &
    Pick<
      Config,
      | 'AGENT_IDLE_SECONDS'
      | 'AGENT_POOL_MEMORY_MB'
      | 'AGENT_POOL_SIZE'
      | 'AGENT_POOL_SPARE'
      | 'DATA_DIR'
      | 'TICKETS_ROOT'
    >;
  logger: Logger | undefined;
  /** The agent of spares. */
  defaultAgent: AgentDefinition | undefined;
};

export function createAgentPool(deps: AgentPoolDeps) {
  const { config, sandbox, logger } = deps;
  // Without a sandbox, a rename would change the paths that a running agent uses.
  const defaultAgent = sandbox.kind === 'none' ? undefined : deps.defaultAgent;
  const closing = new AbortController();
  const idleMs = config.AGENT_IDLE_SECONDS * 1000;
  const layout = createLayout(config);
  const trash = createTrash(sandbox.confine, logger);
  const compileCache = createCompileCache(deps);
  const starts = createStartScheduler(availableParallelism());
  const ticketAgents = createTicketAgents({ idleMs, logger, onIdle: () => void eviction.trim() });
  const prestartedWriters = createPrestartedWriters(idleMs, logger);
  const launchDeps = { ...deps, compileCache };
  const spares = createSpareAgents({
    wanted: defaultAgent ? config.AGENT_POOL_SPARE : 0,
    layout,
    logger,
    hasRoom: () => eviction.hasRoom(),
    removeFolder: (folder) => removeTree(sandbox.confine, folder),
    start: (folders, signal) => startSpare(launchDeps, starts, defaultAgent, folders, signal),
  });
  const eviction = createEviction({
    config,
    logger,
    all: () => [...ticketAgents.all(), ...prestartedWriters.ready(), ...spares.all()].map(({ agent }) => agent),
    idle: () => [...ticketAgents.idle(), ...prestartedWriters.ready()],
    spares: () => spares.all().map((spare) => ({ ...spare, usedAt: 0, evict: () => spares.evict(spare) })),
    refillSpares: spares.fill,
  });
  const acquireDeps = {
    ...launchDeps,
    ...{ starts, ticketAgents, prestartedWriters, trash, trashFolder: layout.data.trash },
  };

  return {
    /** Acquires the agent of a ticket for a turn, which ends with `release` or `closeTicketAgent`. */
    async acquire(definition: AgentDefinition, request: AgentRequest, signal: AbortSignal): Promise<AcquiredAgent> {
      try {
        return await acquireAgent(acquireDeps, definition, request, signal);
      } catch (error) {
        await ticketAgents.release(request.ticketId);
        throw error;
      }
    },

    release: ticketAgents.release,
    closeTicketAgent: ticketAgents.close,

    /** Closes the agents of a ticket, including its prestarted writer. */
    async closeTicket(ticketId: string): Promise<void> {
      await prestartedWriters.closeTicket(ticketId);
      await ticketAgents.close(ticketId);
    },

    has: (ticketId: string): boolean => ticketAgents.get(ticketId) !== undefined || prestartedWriters.has(ticketId),
    ticketIds: (): string[] => ticketAgents.all().map(({ ticketId }) => ticketId),

    /** Starts spare agents, and the sweeps of eviction. */
    start(): void {
      spares.fill();
      eviction.start();
    },

    /**
     * Claims a spare agent for a ticket that is being created; `attachSpare` or `closeTicket` follows.
     * @returns the empty folder that is to become the workspace; undefined when there is no spare
     */
    claimSpare(ticketId: string): string | undefined {
      if (closing.signal.aborted || !defaultAgent || ticketAgents.get(ticketId)) return undefined;
      const spare = spares.claim(isCurrent, conversationFolder(config, ticketId, defaultAgent.name));
      if (!spare) return undefined;
      ticketAgents.add(ticketId, spare.agent, '').fresh = true;
      logger?.info({ ticket_id: ticketId, pid: spare.agent.process.pid }, 'spare agent claimed');
      return spare.workspace;
    },

    /** Opens the session of the spare agent that a ticket has claimed, if any, once its workspace exists. */
    async attachSpare(ticketId: string, workspace: string): Promise<void> {
      const entry = ticketAgents.get(ticketId);
      if (!entry?.fresh) return;
      await attach(acquireDeps, entry, workspace, closing.signal);
      spares.fill();
    },

    /** Starts a writer before its run exists, unless there is one. */
    async prestartWriter(definition: AgentDefinition, request: AgentRequest): Promise<void> {
      const { ticketId } = request;
      const workspace = await workspaceIdentity(request.workspace);
      const isWanted = sandbox.kind !== 'none' && config.AGENT_POOL_SIZE > 0 && !closing.signal.aborted;
      if (!isWanted || workspace === '' || prestartedWriters.has(ticketId)) return;
      const launch = launchRequest(config, definition, request);
      prestartedWriters.add(ticketId, workspace, (onBegin, signal) =>
        starts.background(() => {
          onBegin();
          return withStartTimeout(config, definition, signal, (signal) => launchAgent(launchDeps, launch, signal));
        }, signal),
      );
    },

    async state(): Promise<PoolState> {
      const idle = ticketAgents.idle().length;
      const working = ticketAgents.all().length - idle;
      const memory_mb = Math.round((await eviction.measureMemory()) / 1024 ** 2);
      return { working, idle, early: prestartedWriters.ready().length, spare: spares.all().length, memory_mb };
    },

    /** Closes spare agents and prestarted writers; starts no others. */
    async close(): Promise<void> {
      closing.abort(new AppError('shutting_down', 'The server is stopping.'));
      trash.close();
      await Promise.all([eviction.close(), spares.close(), prestartedWriters.close(), trash.idle()]);
    },
  };
}

async function attach(
  { config, logger, ticketAgents }: AcquireDeps,
  entry: TicketAgent,
  workspace: string,
  signal: AbortSignal,
): Promise<void> {
  const { agent, ticketId } = entry;
  const open = (signal: AbortSignal) => agent.open(undefined, signal);
  try {
    entry.workspace = await workspaceIdentity(workspace);
    entry.opened.resolve(await withStartTimeout(config, agent.definition, signal, open));
    await ticketAgents.release(ticketId);
  } catch (err) {
    // The ticket may have been deleted meanwhile.
    if (!entry.closing) logger?.warn({ err, ticket_id: ticketId }, 'failed to attach spare agent');
    await ticketAgents.close(ticketId);
  }
}

async function startSpare(
  deps: LaunchDeps,
  starts: StartScheduler,
  definition: AgentDefinition | undefined,
  folders: SpareFolders,
  signal: AbortSignal,
): Promise<StartedAgent> {
  if (!definition) throw new Error('There is no default agent.');
  const request: LaunchRequest = { ...folders, definition, mode: 'read', git: undefined };
  await deps.sandbox.identities.assign(folders.workspace);
  return starts.background(async () => {
    await deps.compileCache.ensure(definition, signal);
    return withStartTimeout(deps.config, definition, signal, (signal) => launchAgent(deps, request, signal));
  }, signal);
}
