import { lstat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { PoolState } from '../../schemas/agent.ts';
import type { Config } from '../config/load-config.ts';
import type { Logger } from '../config/logger.ts';
import { AppError } from '../errors/app-error.ts';
import type { Redactor } from '../redaction/redactor.ts';
import type { Sandbox } from '../sandbox/sandbox.ts';
import { type AgentStart, measurements, secondsSince } from '../telemetry/measurements.ts';
import { createLayout } from '../workspaces/layout.ts';
import { abortable } from './abortable.ts';
import type { Session } from './acp-session.ts';
import type { AgentDefinition, AgentMode } from './agent-definition.ts';
import { createCompileCache } from './compile-cache.ts';
import { createEarlyWriters } from './early-writers.ts';
import { createPoolCare } from './pool-care.ts';
import { createSpares } from './spares.ts';
import { type StartedAgent, type StartOptions, startAgent } from './start-agent.ts';
import { createStarts } from './start-limit.ts';
import type { Upstream } from './upstream.ts';

export type AgentRequest = {
  ticketId: string;
  mode: AgentMode;
  /** Folder of the host. */
  workspace: string;
  /** What git in the workspace needs to write: the git directory and the objects that it borrows. */
  readOnlyPaths: readonly string[];
  /** Conversation to continue. */
  sessionId?: string | undefined;
};

type LiveAgent = {
  ticketId: string;
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
  const live = new Map<string, LiveAgent>();
  const compileCache = createCompileCache(deps);
  const starts = createStarts(availableParallelism());
  const idleMs = config.AGENT_IDLE_SECONDS * 1000;
  const early = createEarlyWriters(idleMs, logger);
  // Without walls, an agent knows its folders by names that would change under it.
  const walls = sandbox.kind !== 'none';
  const spares = createSpares({
    wanted: walls && standard ? config.AGENT_POOL_SPARE : 0,
    layout: createLayout(config),
    logger,
    hasRoom: () => care.hasRoom(),
    async start(place, signal) {
      if (!standard) throw new Error('There is no agent to start.');
      const options = { ...place, definition: standard, mode: 'read', readOnlyPaths: [], onExcess: () => {} } as const;
      return starts.later(async () => {
        await compileCache.ready(standard, signal);
        return inTime(standard, signal, (both) => launch(options, both));
      }, signal);
    },
  });
  const care = createPoolCare({
    config,
    logger,
    all: () => [...live.values(), ...early.ready(), ...spares.all()].map(({ agent }) => agent),
    idle: () => [...[...live.values()].filter(isIdle).map(asIdle), ...early.ready()],
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

  /** @throws AppError `agent_unavailable` when it takes too long */
  async function inTime<T>(
    { title }: AgentDefinition,
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const seconds = config.AGENT_START_SECONDS;
    const late = AbortSignal.timeout(seconds * 1000);
    try {
      return await work(AbortSignal.any([signal, late]));
    } catch (error) {
      if (!late.aborted || signal.aborted) throw error;
      throw new AppError('agent_unavailable', `${title} did not start within ${seconds} seconds.`);
    }
  }

  /** The ticket's agent if it fits the request, else a new one in its place. `settle` ends the use of it. */
  async function obtain(definition: AgentDefinition, request: AgentRequest, signal: AbortSignal) {
    const { ticketId, mode, sessionId } = request;
    const place = await placeOf(request.workspace);
    const present = live.get(ticketId);
    if (present) {
      use(present);
      const session = await abortable(present.opened.promise, signal);
      const isIt = sessionId === undefined ? present.fresh : session?.sessionId === sessionId;
      if (session && isIt && !present.ending && present.place === place && suits(present.agent, definition, mode)) {
        tell(definition, present.fresh ? 'spare' : 'warm');
        present.fresh = false;
        return { agent: present.agent, session, continued: sessionId !== undefined };
      }
    }
    await end(ticketId);
    const begun = performance.now();
    try {
      return await begin(definition, request, place, signal);
    } catch (error) {
      tell(definition, 'failed', begun);
      throw error;
    }
  }

  async function begin(definition: AgentDefinition, request: AgentRequest, place: string, signal: AbortSignal) {
    const { ticketId, mode, workspace, sessionId } = request;
    const begun = performance.now();
    const fits = (agent: StartedAgent, its: string) => its === place && suits(agent, definition, mode);
    const waiting = mode === 'write' ? await early.take(ticketId, fits, signal) : undefined;
    const conversation = conversationOf(ticketId, definition);
    const options = { ...launchOptions(definition, request), workspace, conversation };
    const open = () =>
      inTime(definition, signal, async (both) => {
        const agent = waiting ?? (await launch(options, both));
        try {
          return { agent, session: await agent.open(sessionId, both) };
        } catch (error) {
          await agent.close();
          throw error;
        }
      });
    const { agent, session } = await (waiting ? open() : starts.now(open, signal));
    tell(definition, waiting ? 'early' : 'cold', begun);
    const { continued } = session;
    const fields = { ticket_id: ticketId, agent: definition.name, mode, pid: agent.process.pid, continued };
    const told = waiting ? 'agent had been started early' : 'agent started';
    logger?.info({ ...fields, duration_ms: Math.round(performance.now() - begun) }, told);
    const entry = enter(ticketId, agent, place);
    entry.opened.resolve(session);
    use(entry);
    return { agent, session, continued };
  }

  function launchOptions(definition: AgentDefinition, { ticketId, mode, readOnlyPaths }: AgentRequest) {
    // What only reads has no git.
    const paths = mode === 'read' ? [] : readOnlyPaths;
    return { definition, mode, readOnlyPaths: paths, onExcess: (error: AppError) => onExcess(ticketId, error) };
  }

  function enter(ticketId: string, agent: StartedAgent, place: string): LiveAgent {
    const opened = Promise.withResolvers<Session | undefined>();
    const state = { fresh: false, uses: 0, usedAt: Date.now(), ending: false };
    const entry: LiveAgent = { ticketId, agent, place, opened, ...state };
    live.set(ticketId, entry);
    void agent.process.exited.then((exit) => {
      const fields = { ticket_id: ticketId, agent: agent.definition.name, mode: agent.mode, pid: agent.process.pid };
      logger?.info({ ...fields, ...exit }, 'agent ended');
      if (live.get(ticketId) === entry) void end(ticketId);
    });
    return entry;
  }

  function use(entry: LiveAgent): void {
    clearTimeout(entry.idle);
    entry.uses += 1;
  }

  /** Ends one use: what may write is ended with its turn, the rest is kept for a while. */
  async function settle(ticketId: string): Promise<void> {
    const entry = live.get(ticketId);
    if (!entry || entry.ending) return;
    entry.uses -= 1;
    entry.usedAt = Date.now();
    if (entry.agent.mode === 'write') return end(ticketId);
    if (entry.uses > 0) return;
    entry.idle = setTimeout(() => void end(ticketId), idleMs).unref();
    void care.trim();
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
    return { agent, usedAt, stop: async () => (isIdle(entry) ? end(ticketId) : undefined) };
  }

  return {
    obtain,
    settle,
    end,

    /** Ends the agents of a ticket, the one that waits for its `dev` too. */
    async endAll(ticketId: string): Promise<void> {
      await early.end(ticketId);
      await end(ticketId);
    },

    has: (ticketId: string): boolean => live.has(ticketId) || early.has(ticketId),
    ticketIds: (): string[] => [...live.keys()],

    /** Begins to keep spares. */
    start(): void {
      spares.fill();
      care.start();
    },

    /**
     * Gives a spare to a ticket that is just being created; `adopt` or `end` follows.
     * @returns the empty folder that is to become the workspace; undefined when there is no spare
     */
    giveSpare(ticketId: string): string | undefined {
      if (closing || !standard || live.has(ticketId)) return undefined;
      const spare = spares.take((agent) => isCurrent(agent), conversationOf(ticketId, standard));
      if (!spare) return undefined;
      const { agent, workspace } = spare;
      const entry = enter(ticketId, agent, '');
      entry.fresh = true;
      use(entry);
      logger?.info({ ticket_id: ticketId, pid: agent.process.pid }, 'spare agent taken');
      return workspace;
    },

    /** Opens the session of the spare that a ticket was given, now that its files are there. Does nothing without one. */
    async adopt(ticketId: string, workspace: string): Promise<void> {
      const entry = live.get(ticketId);
      if (!entry?.fresh) return;
      const { agent, opened } = entry;
      try {
        entry.place = await placeOf(workspace);
        opened.resolve(await inTime(agent.definition, closed.signal, (signal) => agent.open(undefined, signal)));
        await settle(ticketId);
      } catch (err) {
        logger?.warn({ err, ticket_id: ticketId }, 'a spare agent could not be used');
        await end(ticketId);
      }
      spares.fill();
    },

    /** Starts a writer before there is a run for it, if there is none yet and there may be idle agents at all. */
    async startEarly(definition: AgentDefinition, request: AgentRequest): Promise<void> {
      const { ticketId, workspace } = request;
      const place = await placeOf(workspace);
      if (closing || !walls || place === '' || early.has(ticketId) || config.AGENT_POOL_SIZE === 0) return;
      const conversation = conversationOf(ticketId, definition);
      const options = { ...launchOptions(definition, request), workspace, conversation };
      early.add(ticketId, place, (onBegin, signal) =>
        starts.later(() => {
          onBegin();
          return inTime(definition, signal, (both) => launch(options, both));
        }, signal),
      );
    },

    async state(): Promise<PoolState> {
      const entries = [...live.values()];
      const idle = entries.filter(isIdle).length;
      const memory_mb = Math.round((await care.memory()) / 1024 ** 2);
      return {
        ...{ working: entries.length - idle, idle, early: early.ready().length, spare: spares.all().length },
        memory_mb,
      };
    },

    /** Ends the idle ones; none is started for later any more. */
    async close(): Promise<void> {
      closing = true;
      closed.abort(new AppError('shutting_down', 'The server is stopping.'));
      await Promise.all([care.close(), spares.close(), early.close()]);
    },
  };
}

function isIdle({ uses, ending }: LiveAgent): boolean {
  return uses === 0 && !ending;
}

/** Whether the version that is installed now is the one that was started. */
function isCurrent({ definition, version }: StartedAgent): boolean {
  try {
    return definition.version() === version;
  } catch {
    // It is gone, and cannot be replaced.
    return true;
  }
}

function suits(agent: StartedAgent, definition: AgentDefinition, mode: AgentMode): boolean {
  return agent.definition === definition && agent.mode === mode && isCurrent(agent);
}

function tell({ name }: AgentDefinition, kind: AgentStart, begun = performance.now()): void {
  measurements.emit('agentStart', { agent: name, kind, seconds: secondsSince(begun) });
}

/** What tells one workspace of a ticket from another in the same place; nothing where there is none. */
async function placeOf(workspace: string): Promise<string> {
  const [folder, git] = await Promise.all([lstat(workspace), lstat(join(workspace, '.git'))]).catch(() => []);
  return folder && git ? `${folder.dev}:${folder.ino}:${git.ino}` : '';
}
