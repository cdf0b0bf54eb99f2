import { randomUUID } from 'node:crypto';
import { mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { AgentInfo, PoolState } from '../../schemas/agent.ts';
import type { Usage } from '../../schemas/run.ts';
import { abortable } from '../concurrency/abortable.ts';
import type { Config } from '../config/load-config.ts';
import type { Logger } from '../config/logger.ts';
import { AppError } from '../errors/app-error.ts';
import { createUpstream } from '../model-proxy/upstream.ts';
import type { Redactor } from '../redaction/redactor.ts';
import type { Sandbox } from '../sandbox/sandbox.ts';
import { removeTree } from '../trees/remove-tree.ts';
import type { AskPermission } from './acp/permission-policy.ts';
import type { Session, StopReason } from './acp/session.ts';
import type { AgentDefinition } from './agent-definition.ts';
import { gemini } from './gemini/gemini.ts';
import { type AgentRequest, createAgentPool } from './pool/agent-pool.ts';
import { type MeteredTurn, meterTurn } from './turn-meter.ts';

/** How long an agent may take to end a canceled turn by itself, which keeps its conversation tidy. */
const CANCEL_MS = 1000;

const SET_ASIDE =
  'The agent could not open its conversation with this ticket. It has a new one, and is told what was said before.';

export type PromptRequest = AgentRequest &
  MeteredTurn & {
    runId: string;
    agent: string;
    /** The prompt; `continued` tells whether the agent remembers the conversation or has to be told. */
    text(continued: boolean): string | Promise<string>;
    signal: AbortSignal;
    /** Asks a person about a tool call that the policy does not settle. */
    ask: AskPermission;
    /** Returns a promise while what the agent said waits to be written: it may say no more until then. */
    drained?(): Promise<void> | undefined;
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
  /** Begins to keep spare agents, now that the folders are in order. */
  start(): void;
  /** How many processes there are, and what memory they take. */
  pool(): Promise<PoolState>;
  /**
   * Gives a spare reader to a ticket that is just being created; `attachSpare` or `forget` is to follow.
   * @returns the empty folder that is to become the workspace; undefined when there is no spare
   */
  claimSpare(ticketId: string): string | undefined;
  /** Readies the spare that a ticket was given for its first command, now that its workspace is there. */
  attachSpare(ticketId: string, workspace: string): Promise<void>;
  /** Starts an agent that may write, for a run that is likely to come; it is kept for a while. */
  prestartWriter(request: Omit<AgentRequest, 'mode'> & { agent: string }): Promise<void>;
  /** Ends the agents of a ticket; its conversation is kept. */
  closeTicket(ticketId: string): Promise<void>;
  /** Ends the agents of a ticket and deletes the conversation. */
  purge(ticketId: string): Promise<void>;
  /** Deletes the conversation of a ticket unless its agent is there. Tells whether there was one to delete. */
  deleteConversation(ticketId: string): Promise<boolean>;
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

/**
 * The agents: one process per ticket, kept between commands that read, and conversations that outlive the processes.
 * After a turn that may write, the process is ended: what it left running could change the workspace under a commit.
 */
export function createAgents(dependencies: AgentsDependencies): Agents {
  const { config, sandbox, redactor, logger, parentEnv = {}, definitions = [gemini] } = dependencies;
  const turns = new Map<string, { abort: AbortController; done: Promise<unknown> }>();
  const upstream = createUpstream(parentEnv);
  const pool = createAgentPool({
    config,
    sandbox,
    redactor,
    logger,
    upstream,
    standard: definitions.find(({ name }) => name === config.AGENT),
    onExcess: (ticketId, error) => turns.get(ticketId)?.abort.abort(error),
  });
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

  async function carryOut(request: PromptRequest, signal: AbortSignal): Promise<PromptResult> {
    const { ticketId, sessionId } = request;
    const { agent, session, continued, isSetAside } = await pool
      .acquire(definitionOf(request.agent), request, signal)
      .catch(async (error) => {
        await pool.release(ticketId);
        throw error;
      });
    const metered = meterTurn(agent, request, (error) => turns.get(ticketId)?.abort.abort(error));
    let turn: ReturnType<Session['prompt']> | undefined;
    try {
      request.onSession?.(session.sessionId);
      if (isSetAside) request.onEvent({ type: 'log', data: { level: 'warn', text: SET_ASIDE } });
      turn = session.prompt(await request.text(continued), request);
      const stopReason = await abortable(turn, signal);
      metered.end();
      const failure = metered.failure();
      if (failure) throw failure;
      await pool.release(ticketId);
      const transcriptLost = sessionId !== undefined && !continued;
      return { sessionId: session.sessionId, stopReason, usage: metered.usage, transcriptLost };
    } catch (thrown) {
      const error = metered.failure() ?? thrown;
      if (signal.aborted) {
        session.cancel();
        await Promise.race([turn?.catch(() => {}), pause(CANCEL_MS, undefined, { ref: false })]);
        await pool.closeTicketAgent(ticketId);
      } else if (error instanceof AppError && ENDS_AGENT.has(error.code)) {
        await pool.closeTicketAgent(ticketId);
      } else {
        await pool.release(ticketId);
      }
      throw error;
    } finally {
      metered.end();
    }
  }

  /** Deletes the conversation of a ticket. @returns whether there was one */
  async function deleteFolder(ticketId: string): Promise<boolean> {
    const trash = join(config.DATA_DIR, 'trash');
    mkdirSync(trash, { recursive: true, mode: 0o700 });
    const target = join(trash, randomUUID());
    // Not to be interrupted: an agent that starts now must find the folder whole or make a new one.
    try {
      renameSync(join(config.DATA_DIR, 'conversations', ticketId), target);
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false;
      throw error;
    }
    const failure = await removeTree(sandbox.confine, target);
    // The next clean-up tries again; nothing leads to it any more.
    if (failure !== undefined) logger?.warn({ err: failure, ticket_id: ticketId }, 'conversation left in the trash');
    return true;
  }

  async function closeTicket(ticketId: string): Promise<void> {
    const turn = turns.get(ticketId);
    turn?.abort.abort(new AppError('canceled', 'The agent was ended.'));
    await turn?.done;
    await pool.closeTicket(ticketId);
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

    start: pool.start,
    pool: pool.state,
    claimSpare: pool.claimSpare,
    attachSpare: pool.attachSpare,

    async prestartWriter(request) {
      if (closing || turns.has(request.ticketId)) return;
      await pool.prestartWriter(definitionOf(request.agent), { ...request, mode: 'write' });
    },

    closeTicket,
    async purge(ticketId) {
      await closeTicket(ticketId);
      await deleteFolder(ticketId);
    },
    async deleteConversation(ticketId) {
      if (turns.has(ticketId) || pool.has(ticketId)) return false;
      return deleteFolder(ticketId);
    },
    async close() {
      closing = true;
      await Promise.all([...turns.keys(), ...pool.ticketIds()].map(closeTicket));
      await pool.close();
      upstream.close();
    },
  };
}

/** After these, the process is gone or not to be relied on. */
const ENDS_AGENT: ReadonlySet<string> = new Set([
  ...['agent_crashed', 'agent_protocol', 'agent_unavailable', 'agent_auth', 'out_of_memory'],
]);

async function installedVersion(definition: AgentDefinition): Promise<string | undefined> {
  try {
    return definition.version();
  } catch {
    // `check` says what is missing.
    return undefined;
  }
}
