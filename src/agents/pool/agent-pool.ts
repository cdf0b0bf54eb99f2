import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { PoolState } from '../../../schemas/agent.ts';
import { abortable } from '../../concurrency/abortable.ts';
import type { Config } from '../../config/load-config.ts';
import type { Logger } from '../../config/logger.ts';
import { AppError } from '../../errors/app-error.ts';
import { createLayout } from '../../files/layout.ts';
import type { Upstream } from '../../model-proxy/upstream.ts';
import type { Redactor } from '../../redaction/redactor.ts';
import type { Sandbox } from '../../sandbox/sandbox.ts';
import type { SandboxRequest } from '../../sandbox/types.ts';
import { type AgentStart, measurements, secondsSince } from '../../telemetry/measurements.ts';
import { removeTree } from '../../trees/remove-tree.ts';
import { createTrash } from '../../trees/trash.ts';
import type { AgentDefinition, AgentMode } from '../agent-definition.ts';
import { createCompileCache } from './compile-cache.ts';
import { createPoolCare } from './eviction.ts';
import { type StartedAgent, type StartOptions, startAgent } from './launch-agent.ts';
import { createEarlyWriters } from './prestarted-writers.ts';
import { inTime, isCurrent, placeOf, suits } from './reuse.ts';
import { mayBeConversation, setAside } from './set-aside.ts';
import { createSpares } from './spare-agents.ts';
import { createStarts } from './start-scheduler.ts';
import { createLiveAgents } from './ticket-agents.ts';

export type AgentRequest = {
  ticketId: string;
  /** None for an agent that is started before its run. */
  runId?: string;
  mode: AgentMode;
  /** Folder of the host. */
  workspace: string;
  /** The git directory of the workspace and the mirror whose objects it borrows. */
  git: SandboxRequest['git'];
  /** Conversation to continue. */
  sessionId?: string | undefined;
};

export type AgentPool = ReturnType<typeof createAgentPool>;

/**
 * The processes of agents: one per ticket with the ticket's conversation, kept between commands that read, spare ones for
 * new tickets, and writers that were started before their run. Idle ones are ended by age, number and memory.
 */
export function createAgentPool(deps: {
  config: Config;
  sandbox: Sandbox;
  redactor: Redactor;
  logger: Logger | undefined;
  upstream: Upstream;
  /** The one that spares are of. */
  standard: AgentDefinition | undefined;
  onExcess(ticketId: string, error: AppError): void;
}) {
  const { config, sandbox, logger, standard, onExcess } = deps;
  const idleMs = config.AGENT_IDLE_SECONDS * 1000;
  const live = createLiveAgents({ idleMs, logger, onIdle: () => void care.trim() });
  const compileCache = createCompileCache(deps);
  const starts = createStarts(availableParallelism());
  const layout = createLayout(config);
  const trash = createTrash(sandbox.confine, logger);
  const early = createEarlyWriters(idleMs, logger);
  // Without walls, an agent knows its folders by names that would change under it.
  const walls = sandbox.kind !== 'none';
  const spares = createSpares({
    wanted: walls && standard ? config.AGENT_POOL_SPARE : 0,
    layout,
    logger,
    hasRoom: () => care.hasRoom(),
    removeFolder: (folder) => removeTree(sandbox.confine, folder),
    async start(place, signal) {
      if (!standard) throw new Error('There is no agent to start.');
      const options = { ...place, definition: standard, mode: 'read', git: undefined, onExcess: () => {} } as const;
      await sandbox.identities.assign(place.workspace);
      return starts.later(async () => {
        await compileCache.ready(standard, signal);
        return inTime(config, standard, signal, (both) => launch(options, both));
      }, signal);
    },
  });
  const care = createPoolCare({
    config,
    logger,
    all: () => [...live.all(), ...early.ready(), ...spares.all()].map(({ agent }) => agent),
    idle: () => [...live.idle(), ...early.ready()],
    spares: () => spares.all().map((spare) => ({ ...spare, usedAt: 0, stop: () => spares.discard(spare) })),
    isOutdated: (agent) => !isCurrent(agent),
    refill: () => spares.fill(),
  });
  let closing = false;
  const closed = new AbortController();

  const conversationOf = (ticketId: string, { name }: AgentDefinition) =>
    join(config.DATA_DIR, 'conversations', ticketId, name);

  type Launch = Omit<StartOptions, 'config' | 'sandbox' | 'redactor' | 'upstream' | 'compileCache' | 'signal'>;
  const launch = (options: Launch, signal: AbortSignal) => startAgent({ ...deps, compileCache, ...options, signal });

  /**
   * The ticket's agent if it fits the request, else a new one in its place. `release` ends the use of it. `isSetAside` when the
   * agent could not open the ticket's conversation, and has a new one instead.
   */
  async function acquire(definition: AgentDefinition, request: AgentRequest, signal: AbortSignal) {
    const { ticketId, mode, sessionId } = request;
    const place = await placeOf(request.workspace);
    const present = live.get(ticketId);
    if (present) {
      live.use(present, request.runId);
      const session = await abortable(present.opened.promise, signal);
      const isIt = sessionId === undefined ? present.fresh : session?.sessionId === sessionId;
      if (session && isIt && !present.ending && present.place === place && suits(present.agent, definition, mode)) {
        tell(definition, present.fresh ? 'spare' : 'warm');
        present.fresh = false;
        return { agent: present.agent, session, continued: sessionId !== undefined, isSetAside: false };
      }
    }
    await live.end(ticketId);
    const begun = performance.now();
    try {
      return await begin(definition, request, place, signal);
    } catch (error) {
      tell(definition, 'failed', begun);
      throw error;
    }
  }

  async function begin(definition: AgentDefinition, request: AgentRequest, place: string, signal: AbortSignal) {
    const { ticketId, runId, mode, workspace, sessionId } = request;
    const begun = performance.now();
    const fits = (agent: StartedAgent, its: string) => its === place && suits(agent, definition, mode);
    const waiting = mode === 'write' ? await early.take(ticketId, fits, signal) : undefined;
    const conversation = conversationOf(ticketId, definition);
    const options = { ...launchOptions(definition, request), workspace, conversation };
    const isUsed = existsSync(conversation);
    const open = (load?: string, started?: StartedAgent) =>
      inTime(config, definition, signal, async (both) => {
        const agent = started ?? (await launch(options, both));
        try {
          return { agent, session: await agent.open(load, both), isSetAside: false };
        } catch (error) {
          await agent.close();
          throw error;
        }
      });
    const first = () => open(sessionId, waiting);
    const opened = await (waiting ? first() : starts.now(first, signal)).catch(async (error) => {
      if (!isUsed || signal.aborted || !mayBeConversation(error)) throw error;
      const again = () => setAside(conversation, { trash, trashFolder: layout.data.trash }, () => open());
      const { agent, session } = await starts.now(again, signal);
      logger?.warn({ err: error, run_id: runId, ticket_id: ticketId }, 'agent could not open its conversation');
      return { agent, session, isSetAside: true };
    });
    const { agent, session, isSetAside } = opened;
    tell(definition, waiting ? 'early' : 'cold', begun);
    const { continued } = session;
    const about = { run_id: runId, ticket_id: ticketId, agent: definition.name, mode };
    const fields = { ...about, pid: agent.process.pid, continued };
    const told = waiting ? 'agent had been started early' : 'agent started';
    logger?.info({ ...fields, duration_ms: Math.round(performance.now() - begun) }, told);
    const entry = live.enter(ticketId, agent, place);
    entry.opened.resolve(session);
    live.use(entry, runId);
    return { agent, session, continued, isSetAside };
  }

  function launchOptions(definition: AgentDefinition, { ticketId, mode, git }: AgentRequest) {
    // What only reads has no git.
    const folders = mode === 'read' ? undefined : git;
    return { definition, mode, git: folders, onExcess: (error: AppError) => onExcess(ticketId, error) };
  }

  return {
    acquire,
    release: live.release,
    closeTicketAgent: live.end,

    /** Ends the agents of a ticket, the one that waits for its `dev` too. */
    async closeTicket(ticketId: string): Promise<void> {
      await early.end(ticketId);
      await live.end(ticketId);
    },

    has: (ticketId: string): boolean => live.get(ticketId) !== undefined || early.has(ticketId),
    ticketIds: (): string[] => live.all().map((entry) => entry.ticketId),

    /** Begins to keep spares. */
    start(): void {
      spares.fill();
      care.start();
    },

    /**
     * Gives a spare to a ticket that is just being created; `attachSpare` or `end` follows.
     * @returns the empty folder that is to become the workspace; undefined when there is no spare
     */
    claimSpare(ticketId: string): string | undefined {
      if (closing || !standard || live.get(ticketId) !== undefined) return undefined;
      const spare = spares.take((agent) => isCurrent(agent), conversationOf(ticketId, standard));
      if (!spare) return undefined;
      const { agent, workspace } = spare;
      const entry = live.enter(ticketId, agent, '');
      entry.fresh = true;
      live.use(entry);
      logger?.info({ ticket_id: ticketId, pid: agent.process.pid }, 'spare agent taken');
      return workspace;
    },

    /** Opens the session of the spare that a ticket was given, now that its files are there. Does nothing without one. */
    async attachSpare(ticketId: string, workspace: string): Promise<void> {
      const entry = live.get(ticketId);
      if (!entry?.fresh) return;
      const { agent, opened } = entry;
      try {
        entry.place = await placeOf(workspace);
        opened.resolve(
          await inTime(config, agent.definition, closed.signal, (signal) => agent.open(undefined, signal)),
        );
        await live.release(ticketId);
      } catch (err) {
        // It may have been ended with its ticket.
        if (!entry.ending) logger?.warn({ err, ticket_id: ticketId }, 'a spare agent could not be used');
        await live.end(ticketId);
      }
      spares.fill();
    },

    /** Starts a writer before there is a run for it, if there is none yet and there may be idle agents at all. */
    async prestartWriter(definition: AgentDefinition, request: AgentRequest): Promise<void> {
      const { ticketId, workspace } = request;
      const place = await placeOf(workspace);
      if (closing || !walls || place === '' || early.has(ticketId) || config.AGENT_POOL_SIZE === 0) return;
      const conversation = conversationOf(ticketId, definition);
      const options = { ...launchOptions(definition, request), workspace, conversation };
      early.add(ticketId, place, (onBegin, signal) =>
        starts.later(() => {
          onBegin();
          return inTime(config, definition, signal, (both) => launch(options, both));
        }, signal),
      );
    },

    async state(): Promise<PoolState> {
      const idle = live.idle().length;
      const memory_mb = Math.round((await care.memory()) / 1024 ** 2);
      return {
        ...{ working: live.all().length - idle, idle, early: early.ready().length, spare: spares.all().length },
        memory_mb,
      };
    },

    /** Ends the idle ones; none is started for later any more. */
    async close(): Promise<void> {
      closing = true;
      closed.abort(new AppError('shutting_down', 'The server is stopping.'));
      trash.stop();
      await Promise.all([care.close(), spares.close(), early.close(), trash.settled()]);
    },
  };
}

function tell({ name }: AgentDefinition, kind: AgentStart, begun = performance.now()): void {
  measurements.emit('agentStart', { agent: name, kind, seconds: secondsSince(begun) });
}
