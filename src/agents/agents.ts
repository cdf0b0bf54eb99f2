import { mkdir, rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { AgentInfo } from '../../schemas/agent.ts';
import type { EventDraft } from '../../schemas/event.ts';
import type { Config } from '../config/load-config.ts';
import type { Logger } from '../config/logger.ts';
import { AppError } from '../errors/app-error.ts';
import type { Redactor } from '../redaction/redactor.ts';
import type { Sandbox } from '../sandbox/sandbox.ts';
import type { SandboxedProcess } from '../sandbox/types.ts';
import { openSession, type Session, type StopReason } from './acp-session.ts';
import type { AgentDefinition, AgentMode, TurnUsage } from './agent-definition.ts';
import { gemini } from './gemini.ts';
import { createStartLimit } from './start-limit.ts';

/** How long an agent may take to end a canceled turn by itself, which keeps its conversation tidy. */
const CANCEL_MS = 1000;

export type PromptRequest = {
  ticketId: string;
  agent: string;
  mode: AgentMode;
  /** Folder of the host. */
  workspace: string;
  /** What git in the workspace needs: the git directory and the objects that it borrows. */
  readOnlyPaths: readonly string[];
  /** Conversation to continue. */
  sessionId?: string | undefined;
  /** The prompt; `continued` tells whether the agent remembers the conversation or has to be told. */
  text(continued: boolean): string;
  signal: AbortSignal;
  onEvent(draft: EventDraft): void;
  /** Called before the turn with the conversation it belongs to, which lasts whatever becomes of the turn. */
  onSession?(sessionId: string): void;
};

export type PromptResult = {
  sessionId: string;
  stopReason: StopReason;
  usage: TurnUsage;
  /** The conversation to continue could not be loaded; this one is new. */
  transcriptLost: boolean;
};

export type Agents = {
  list(): Promise<AgentInfo[]>;
  has(name: string): boolean;
  /**
   * One turn of a ticket's agent, which is started, kept or replaced as needed.
   * @throws AppError; when the signal is aborted, its reason if that is an AppError, else `canceled`. The agent and
   * all it started are gone by then
   */
  prompt(request: PromptRequest): Promise<PromptResult>;
  /** Ends the agent of a ticket; its conversation is kept. */
  release(ticketId: string): Promise<void>;
  /** Ends the agent of a ticket and deletes the conversation. */
  forget(ticketId: string): Promise<void>;
  /** Ends all agents. */
  close(): Promise<void>;
};

export type AgentsDependencies = {
  config: Config;
  sandbox: Sandbox;
  redactor: Redactor;
  logger?: Logger;
  definitions?: readonly AgentDefinition[];
};

type LiveAgent = {
  agent: string;
  mode: AgentMode;
  workspace: string;
  process: SandboxedProcess;
  session: Session;
  idle?: NodeJS.Timeout;
  /** It is on its way out, and not gone yet. */
  ending: boolean;
};

/**
 * The agents: one process per ticket, kept between commands that read, and conversations that outlive the processes.
 * After a turn that may write, the process is ended: what it left running could change the workspace under a commit.
 */
export function createAgents({
  config,
  sandbox,
  redactor,
  logger,
  definitions = [gemini],
}: AgentsDependencies): Agents {
  const live = new Map<string, LiveAgent>();
  const turns = new Map<string, { abort: AbortController; done: Promise<unknown> }>();
  const limitStarts = createStartLimit(availableParallelism());
  let closing = false;

  function definitionOf(name: string): AgentDefinition {
    const definition = definitions.find((candidate) => candidate.name === name);
    if (!definition) throw new AppError('agent_not_found', `There is no agent named ${JSON.stringify(name)}.`);
    return definition;
  }

  async function inform(definition: AgentDefinition): Promise<AgentInfo> {
    const { name, title } = definition;
    const basics = { name, title, default: name === config.AGENT, sandbox: sandbox.kind };
    const walls = await sandbox.check();
    const problem = walls.ok ? await definition.check(config) : walls;
    const version = await installedVersion(definition);
    const found = { ...basics, ...(version === undefined ? {} : { version }) };
    if (!problem) return { ...found, healthy: true };
    const detail = 'detail' in problem ? problem.detail : problem.message;
    return { ...found, healthy: false, detail, remedy: problem.remedy };
  }

  async function start(definition: AgentDefinition, request: PromptRequest, signal: AbortSignal): Promise<LiveAgent> {
    const problem = await definition.check(config);
    if (problem) throw problem;
    const { mode, workspace, readOnlyPaths, sessionId } = request;
    const conversation = join(config.DATA_DIR, 'conversations', request.ticketId, definition.name);
    await mkdir(conversation, { recursive: true, mode: 0o700 });
    const load =
      sessionId !== undefined && (await definition.prepareLoad(conversation, sessionId)) ? sessionId : undefined;
    const launch = await definition.prepareLaunch({ config, mode, sandbox, workspace, conversation });
    const root = sandbox.layout({ workspace, home: launch.home.folder }).workspace;
    const process = await sandbox.spawn({ ...launch, workspace, writable: mode === 'write', readOnlyPaths });
    try {
      const opened = openSession({ process, definition, mode, root, redactor, load });
      const session = await abortable(opened, signal);
      return { agent: definition.name, mode, workspace, process, session, ending: false };
    } catch (error) {
      await process.kill();
      throw error;
    }
  }

  async function startWithin(definition: AgentDefinition, request: PromptRequest, signal: AbortSignal) {
    return limitStarts(async () => {
      const seconds = config.AGENT_START_SECONDS;
      const late = AbortSignal.timeout(seconds * 1000);
      try {
        return await start(definition, request, AbortSignal.any([signal, late]));
      } catch (error) {
        if (!late.aborted || signal.aborted) throw error;
        throw new AppError('agent_unavailable', `${definition.title} did not start within ${seconds} seconds.`);
      }
    }, signal);
  }

  /** The ticket's agent if it fits the request, else a new one in its place. */
  async function obtain(definition: AgentDefinition, request: PromptRequest, signal: AbortSignal) {
    const { ticketId, mode, workspace, sessionId } = request;
    const present = live.get(ticketId);
    clearTimeout(present?.idle);
    if (
      present?.ending === false &&
      present.agent === definition.name &&
      present.mode === mode &&
      present.workspace === workspace &&
      present.session.sessionId === sessionId
    ) {
      return { agent: present, continued: true };
    }
    await end(ticketId);
    const begun = performance.now();
    const agent = await startWithin(definition, request, signal);
    const { continued } = agent.session;
    const fields = { ticket_id: ticketId, agent: definition.name, mode, pid: agent.process.pid };
    logger?.info({ ...fields, continued, duration_ms: Math.round(performance.now() - begun) }, 'agent started');
    live.set(ticketId, agent);
    void agent.process.exited.then((exit) => {
      logger?.info({ ...fields, ...exit }, 'agent ended');
      if (live.get(ticketId) === agent) void end(ticketId);
    });
    return { agent, continued };
  }

  async function carryOut(request: PromptRequest, signal: AbortSignal): Promise<PromptResult> {
    const { ticketId, sessionId } = request;
    const { agent, continued } = await obtain(definitionOf(request.agent), request, signal);
    const { session } = agent;
    let turn: ReturnType<Session['prompt']> | undefined;
    try {
      request.onSession?.(session.sessionId);
      turn = session.prompt(request.text(continued), request.onEvent);
      const { stopReason, usage } = await abortable(turn, signal);
      await settle(ticketId, agent);
      const transcriptLost = sessionId !== undefined && !continued;
      return { sessionId: session.sessionId, stopReason, usage, transcriptLost };
    } catch (error) {
      if (signal.aborted) {
        session.cancel();
        await Promise.race([turn?.catch(() => {}), pause(CANCEL_MS, undefined, { ref: false })]);
        await end(ticketId);
      } else if (error instanceof AppError && ENDS_AGENT.has(error.code)) {
        await end(ticketId);
      } else {
        await settle(ticketId, agent);
      }
      throw error;
    }
  }

  async function settle(ticketId: string, agent: LiveAgent): Promise<void> {
    if (agent.mode === 'write') return end(ticketId);
    agent.idle = setTimeout(() => void end(ticketId), config.AGENT_IDLE_SECONDS * 1000).unref();
  }

  async function end(ticketId: string): Promise<void> {
    const agent = live.get(ticketId);
    if (!agent) return;
    agent.ending = true;
    clearTimeout(agent.idle);
    await agent.process.kill();
    if (live.get(ticketId) === agent) live.delete(ticketId);
  }

  async function release(ticketId: string): Promise<void> {
    const turn = turns.get(ticketId);
    turn?.abort.abort(new AppError('canceled', 'The agent was ended.'));
    await turn?.done;
    await end(ticketId);
  }

  return {
    list: () => Promise.all(definitions.map(inform)),
    has: (name) => definitions.some((definition) => definition.name === name),

    async prompt(request) {
      const { ticketId } = request;
      if (closing) throw new AppError('shutting_down', 'The server is stopping.');
      if (turns.has(ticketId)) throw new AppError('ticket_busy', `The agent of ${ticketId} is at work.`);
      const abort = new AbortController();
      const signal = AbortSignal.any([request.signal, abort.signal]);
      const turn = carryOut(request, signal);
      turns.set(ticketId, { abort, done: turn.catch(() => {}) });
      try {
        return await turn;
      } catch (error) {
        if (!signal.aborted || signal.reason instanceof AppError) throw signal.aborted ? signal.reason : error;
        throw new AppError('canceled', 'The run was canceled.', { cause: signal.reason });
      } finally {
        turns.delete(ticketId);
      }
    },

    release,
    async forget(ticketId) {
      await release(ticketId);
      await rm(join(config.DATA_DIR, 'conversations', ticketId), { recursive: true, force: true });
    },
    async close() {
      closing = true;
      await Promise.all([...turns.keys(), ...live.keys()].map(release));
    },
  };
}

/** After these, the process is gone or not to be relied on. */
const ENDS_AGENT: ReadonlySet<string> = new Set(['agent_crashed', 'agent_protocol', 'agent_unavailable', 'agent_auth']);

async function installedVersion(definition: AgentDefinition): Promise<string | undefined> {
  try {
    return definition.version();
  } catch {
    // `check` says what is missing.
    return undefined;
  }
}

/** The promise, or the reason of the signal as soon as that is aborted. */
async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  // Nobody waits for it after an abort.
  promise.catch(() => {});
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', abort);
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
