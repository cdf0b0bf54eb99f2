import { randomUUID } from 'node:crypto';
import { renameSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { AgentInfo } from '../../schemas/agent.ts';
import type { EventDraft } from '../../schemas/event.ts';
import type { Usage } from '../../schemas/run.ts';
import type { Config } from '../config/load-config.ts';
import type { Logger } from '../config/logger.ts';
import { AppError } from '../errors/app-error.ts';
import type { Redactor } from '../redaction/redactor.ts';
import type { Sandbox } from '../sandbox/sandbox.ts';
import { measurements, secondsSince } from '../telemetry/measurements.ts';
import { abortable } from './abortable.ts';
import type { Session, StopReason } from './acp-session.ts';
import type { AgentDefinition, AgentMode } from './agent-definition.ts';
import { gemini } from './gemini.ts';
import type { Limit } from './model-limits.ts';
import type { NoteSource } from './model-notes.ts';
import type { AskPermission } from './permissions.ts';
import { type StartedAgent, startAgent } from './start-agent.ts';
import { createStartLimit } from './start-limit.ts';
import { createUpstream } from './upstream.ts';

/** How long an agent may take to end a canceled turn by itself, which keeps its conversation tidy. */
const CANCEL_MS = 1000;
/** The same for a turn that lost its model. A turn that ends with an error stays in the conversation. */
const FAILURE_MS = 5000;

export type PromptRequest = NoteSource & {
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
  /** What the run may use, and what of it was used before this turn. */
  limits: readonly Limit[];
  signal: AbortSignal;
  onEvent(draft: EventDraft): void;
  /** Asks a person about a tool call that the policy does not settle. */
  ask: AskPermission;
  /** Called when the agent calls its model. */
  onCall?(): void;
  /** Called when a call is to be tried again, with the seconds until then. */
  onWait?(seconds: number): void;
  /** Called before the turn with the conversation it belongs to, which lasts whatever becomes of the turn. */
  onSession?(sessionId: string): void;
};

export type PromptResult = {
  sessionId: string;
  stopReason: StopReason;
  /** Tokens of this turn, as told by `usage.updated` before. */
  usage: Usage;
  /** The conversation to continue could not be loaded; this one is new. */
  transcriptLost: boolean;
};

export type Agents = {
  list(): Promise<AgentInfo[]>;
  /** Why an agent cannot work on this machine, if so; starts no process. */
  check(name: string): Promise<AppError | undefined>;
  has(name: string): boolean;
  /**
   * One turn of a ticket's agent, which is started, kept or replaced as needed. What the model counts is told by
   * `usage.updated`, with the sum of the turn so far, also when the turn fails.
   * @throws AppError; when the signal is aborted, its reason if that is an AppError, else `canceled`. The agent and
   * all it started are gone by then
   */
  prompt(request: PromptRequest): Promise<PromptResult>;
  /** Ends the agent of a ticket; its conversation is kept. */
  release(ticketId: string): Promise<void>;
  /** Ends the agent of a ticket and deletes the conversation. */
  forget(ticketId: string): Promise<void>;
  /** Deletes the conversation of a ticket unless its agent is there. Tells whether there was one to delete. */
  dropConversation(ticketId: string): Promise<boolean>;
  /** Ends all agents. */
  close(): Promise<void>;
};

export type AgentsDependencies = {
  config: Config;
  sandbox: Sandbox;
  redactor: Redactor;
  logger?: Logger;
  /** Environment of the server; its proxies are used on the way to the model. */
  parentEnv?: Readonly<Record<string, string | undefined>>;
  definitions?: readonly AgentDefinition[];
};

type LiveAgent = StartedAgent & {
  agent: string;
  mode: AgentMode;
  workspace: string;
  idle?: NodeJS.Timeout;
  /** It is on its way out, and not gone yet. */
  ending: boolean;
};

/**
 * The agents: one process per ticket, kept between commands that read, and conversations that outlive the processes.
 * After a turn that may write, the process is ended: what it left running could change the workspace under a commit.
 */
export function createAgents(dependencies: AgentsDependencies): Agents {
  const { config, sandbox, redactor, logger, parentEnv = {}, definitions = [gemini] } = dependencies;
  const live = new Map<string, LiveAgent>();
  const turns = new Map<string, { abort: AbortController; done: Promise<unknown> }>();
  const limitStarts = createStartLimit(availableParallelism());
  const upstream = createUpstream(parentEnv);
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

  async function start(definition: AgentDefinition, request: PromptRequest, signal: AbortSignal) {
    const { ticketId, mode, workspace, readOnlyPaths, sessionId } = request;
    const onExcess = (error: AppError) => turns.get(ticketId)?.abort.abort(error);
    const place = { ticketId, mode, workspace, readOnlyPaths, sessionId };
    const options = { config, sandbox, redactor, upstream, definition, ...place, onExcess };
    return limitStarts(async () => {
      const seconds = config.AGENT_START_SECONDS;
      const late = AbortSignal.timeout(seconds * 1000);
      try {
        return await startAgent({ ...options, onExcess, signal: AbortSignal.any([signal, late]) });
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
      measurements.emit('agentStart', { agent: definition.name, kind: 'warm', seconds: 0 });
      return { agent: present, continued: true };
    }
    await end(ticketId);
    const begun = performance.now();
    const tell = (kind: 'cold' | 'failed') =>
      measurements.emit('agentStart', { agent: definition.name, kind, seconds: secondsSince(begun) });
    const started = await start(definition, request, signal).catch((error) => {
      tell('failed');
      throw error;
    });
    tell('cold');
    const agent: LiveAgent = { ...started, agent: definition.name, mode, workspace, ending: false };
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

  /** Lets the agent call its model for the length of a turn. */
  function meter({ model, session }: LiveAgent, request: PromptRequest) {
    const { ticketId, limits, onEvent, onLimitNear, onRepeatedFailure } = request;
    const usage: Usage = { input_tokens: 0, output_tokens: 0, cached_tokens: 0 };
    let failure: AppError | undefined;
    let patience: NodeJS.Timeout | undefined;
    const end = model?.begin({
      limits,
      onLimitNear,
      onRepeatedFailure,
      onCall: (call) => call.costs && request.onCall?.(),
      onWait: (seconds) => request.onWait?.(seconds),
      onUsage(used, name) {
        usage.input_tokens += used.input_tokens;
        usage.output_tokens += used.output_tokens;
        usage.cached_tokens += used.cached_tokens;
        onEvent({ type: 'usage.updated', data: { ...usage, model: name } });
      },
      onWarning: session.warn,
      onFailure(error) {
        failure = error;
        patience = setTimeout(() => turns.get(ticketId)?.abort.abort(error), FAILURE_MS);
      },
    });
    return {
      usage,
      /** Why the agent was left without its model, whatever it makes of it. */
      failure: () => failure,
      end() {
        clearTimeout(patience);
        end?.();
      },
    };
  }

  async function carryOut(request: PromptRequest, signal: AbortSignal): Promise<PromptResult> {
    const { ticketId, sessionId } = request;
    const { agent, continued } = await obtain(definitionOf(request.agent), request, signal);
    const { session } = agent;
    const metered = meter(agent, request);
    let turn: ReturnType<Session['prompt']> | undefined;
    try {
      request.onSession?.(session.sessionId);
      turn = session.prompt(request.text(continued), request);
      const stopReason = await abortable(turn, signal);
      metered.end();
      const failure = metered.failure();
      if (failure) throw failure;
      await settle(ticketId, agent);
      const transcriptLost = sessionId !== undefined && !continued;
      return { sessionId: session.sessionId, stopReason, usage: metered.usage, transcriptLost };
    } catch (thrown) {
      const error = metered.failure() ?? thrown;
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
    } finally {
      metered.end();
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
    await agent.close();
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
    check: async (name) => definitionOf(name).check(config),
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
    async dropConversation(ticketId) {
      if (turns.has(ticketId) || live.has(ticketId)) return false;
      const target = join(config.DATA_DIR, 'trash', randomUUID());
      // Not to be interrupted: an agent that starts now must find the folder whole or make a new one.
      try {
        renameSync(join(config.DATA_DIR, 'conversations', ticketId), target);
      } catch (error) {
        if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false;
        throw error;
      }
      await rm(target, { recursive: true, force: true });
      return true;
    },
    async close() {
      closing = true;
      await Promise.all([...turns.keys(), ...live.keys()].map(release));
      upstream.close();
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
