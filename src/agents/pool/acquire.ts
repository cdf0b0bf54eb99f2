import { existsSync } from 'node:fs';
import { abortable } from '../../concurrency/abortable.ts';
import type { Config } from '../../config/load-config.ts';
import type { Logger } from '../../config/logger.ts';
import type { SandboxRequest } from '../../sandbox/types.ts';
import { type AgentStart, measurements, secondsSince } from '../../telemetry/measurements.ts';
import type { Trash } from '../../trees/trash.ts';
import type { Session } from '../acp/session.ts';
import type { AgentDefinition, AgentMode } from '../agent-definition.ts';
import { conversationFolder } from '../conversations.ts';
import {
  type LaunchDeps,
  type LaunchRequest,
  launchAgent,
  type StartedAgent,
  withStartTimeout,
} from './launch-agent.ts';
import type { PrestartedWriters } from './prestarted-writers.ts';
import { matches, workspaceIdentity } from './reuse.ts';
import { mayBeConversation, setAside } from './set-aside.ts';
import type { StartScheduler } from './start-scheduler.ts';
import type { TicketAgents } from './ticket-agents.ts';

export type AgentRequest = {
  ticketId: string;
  /** Undefined for an agent that starts before its run. */
  runId?: string;
  mode: AgentMode;
  /** Folder on the host. */
  workspace: string;
  /** The git directory of the workspace, and the mirror whose objects it borrows. */
  git: SandboxRequest['git'];
  /** The session to continue. */
  sessionId?: string | undefined;
};

export type AcquiredAgent = {
  agent: StartedAgent;
  session: Session;
  /** Whether the session is the one to continue. */
  continued: boolean;
  /** Whether the agent failed to open the conversation of the ticket, and has a new one. */
  isConversationReplaced: boolean;
};

export type AcquireDeps = LaunchDeps & {
  config: Pick<Config, 'DATA_DIR'>;
  logger: Logger | undefined;
  starts: StartScheduler;
  ticketAgents: TicketAgents;
  prestartedWriters: PrestartedWriters;
  trash: Trash;
  trashFolder: string;
};

/** Returns the ticket's agent if it matches the request; otherwise closes it and starts another one. */
export async function acquireAgent(
  deps: AcquireDeps,
  definition: AgentDefinition,
  request: AgentRequest,
  signal: AbortSignal,
): Promise<AcquiredAgent> {
  const workspace = await workspaceIdentity(request.workspace);
  const reused = await reuse(deps.ticketAgents, definition, request, workspace, signal);
  if (reused) return reused;
  await deps.ticketAgents.close(request.ticketId);
  const startedAt = performance.now();
  try {
    return await start(deps, definition, request, workspace, signal);
  } catch (error) {
    measure(definition, 'failed', startedAt);
    throw error;
  }
}

async function reuse(
  ticketAgents: TicketAgents,
  definition: AgentDefinition,
  { ticketId, runId, mode, sessionId }: AgentRequest,
  workspace: string,
  signal: AbortSignal,
): Promise<AcquiredAgent | undefined> {
  const entry = ticketAgents.get(ticketId);
  if (!entry) return undefined;
  ticketAgents.use(entry, runId);
  const { agent } = entry;
  const session = await abortable(entry.opened.promise, signal);
  const isSession = sessionId === undefined ? entry.fresh : session?.sessionId === sessionId;
  if (!session || !isSession || entry.closing) return undefined;
  if (entry.workspace !== workspace || !matches(agent, definition, mode)) return undefined;
  measure(definition, entry.fresh ? 'spare' : 'warm');
  entry.fresh = false;
  return { agent, session, continued: sessionId !== undefined, isConversationReplaced: false };
}

/** Starts an agent, or takes the prestarted writer, and opens its session. Retries once with a new conversation. */
async function start(
  deps: AcquireDeps,
  definition: AgentDefinition,
  request: AgentRequest,
  workspace: string,
  signal: AbortSignal,
): Promise<AcquiredAgent> {
  const { config, logger, starts, ticketAgents, trash, trashFolder } = deps;
  const { ticketId, runId, mode, sessionId } = request;
  const startedAt = performance.now();
  const isMatch = (agent: StartedAgent, itsWorkspace: string) =>
    itsWorkspace === workspace && matches(agent, definition, mode);
  const writer = mode === 'write' ? await deps.prestartedWriters.take(ticketId, isMatch, signal) : undefined;

  const launch = launchRequest(config, definition, request);
  const hasConversation = existsSync(launch.conversation);
  const open = (load: string | undefined, started?: StartedAgent) =>
    withStartTimeout(config, definition, signal, async (signal) => {
      const agent = started ?? (await launchAgent(deps, launch, signal));
      try {
        return { agent, session: await agent.open(load, signal), isConversationReplaced: false };
      } catch (error) {
        await agent.close();
        throw error;
      }
    });
  const first = () => open(sessionId, writer);
  const opened = await (writer ? first() : starts.foreground(first, signal)).catch(async (error) => {
    if (!hasConversation || signal.aborted || !mayBeConversation(error)) throw error;
    const retry = () => setAside(launch.conversation, { trash, trashFolder }, () => open(undefined));
    const { agent, session } = await starts.foreground(retry, signal);
    logger?.warn({ err: error, run_id: runId, ticket_id: ticketId }, 'agent failed to open its conversation');
    return { agent, session, isConversationReplaced: true };
  });

  const { agent, session } = opened;
  const { continued } = session;
  measure(definition, writer ? 'early' : 'cold', startedAt);
  const ids = { run_id: runId, ticket_id: ticketId, agent: definition.name, mode, pid: agent.process.pid };
  const duration_ms = Math.round(performance.now() - startedAt);
  logger?.info({ ...ids, continued, duration_ms }, writer ? 'prestarted writer acquired' : 'agent started');
  ticketAgents.add(ticketId, agent, workspace, runId).opened.resolve(session);
  return { ...opened, continued };
}

/** Returns how to start the agent of a ticket. A reader gets no git. */
export function launchRequest(
  config: Pick<Config, 'DATA_DIR'>,
  definition: AgentDefinition,
  { ticketId, mode, workspace, git }: AgentRequest,
): LaunchRequest {
  const conversation = conversationFolder(config, ticketId, definition.name);
  return { definition, mode, workspace, conversation, git: mode === 'read' ? undefined : git };
}

function measure({ name }: AgentDefinition, kind: AgentStart, startedAt = performance.now()): void {
  measurements.emit('agentStart', { agent: name, kind, seconds: secondsSince(startedAt) });
}
