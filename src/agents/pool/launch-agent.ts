import { mkdir } from 'node:fs/promises';
import { abortable } from '../../concurrency/abortable.ts';
import type { Config } from '../../config/load-config.ts';
import { AppError } from '../../errors/app-error.ts';
import { createModelProxy, type ModelProxy } from '../../model-proxy/model-proxy.ts';
import type { Upstream } from '../../model-proxy/upstream.ts';
import type { Redactor } from '../../redaction/redactor.ts';
import type { Sandbox } from '../../sandbox/sandbox.ts';
import type { SocketForward } from '../../sandbox/socket-forward.ts';
import type { SandboxedProcess, SandboxRequest } from '../../sandbox/types.ts';
import type { Connection, Session } from '../acp/session.ts';
import type { AgentDefinition, AgentMode, AgentSettings } from '../agent-definition.ts';
import type { CompileCache } from './compile-cache.ts';

/** Loopback port of the model proxy in every sandbox of an agent. */
const MODEL_PORT = 41_701;

export type LaunchDeps = {
  config: AgentSettings & Pick<Config, 'AGENT_START_SECONDS'>;
  sandbox: Sandbox;
  redactor: Redactor;
  upstream: Upstream;
  compileCache: CompileCache;
};

export type LaunchRequest = {
  definition: AgentDefinition;
  mode: AgentMode;
  /** Folder on the host. */
  workspace: string;
  /** Folder on the host, which the agent's processes share; created if missing. */
  conversation: string;
  /** The git directory and the mirror of the workspace, for an agent that may use git. */
  git: SandboxRequest['git'];
};

/** An initialised agent, without a session yet. */
export type StartedAgent = {
  definition: AgentDefinition;
  mode: AgentMode;
  /** The installed version when the agent started. */
  version: string;
  process: SandboxedProcess;
  /** Refuses calls between turns. */
  model: ModelProxy | undefined;
  /** Aborted with an AppError when the sandbox kills the agent because the workspace has grown too large. */
  exceeded: AbortSignal;
  warn: Connection['warn'];
  ping: Connection['ping'];
  /**
   * Opens the session; called once, while no other process uses the conversation. The caller closes the agent after an error.
   * @param sessionId the session to continue
   * @throws AppError; the reason of `signal` or `exceeded` when that is aborted
   */
  open(sessionId: string | undefined, signal: AbortSignal): Promise<Session>;
  /** Kills the process with all its children, and closes its model proxy. */
  close(): Promise<void>;
};

/**
 * Starts an agent in its sandbox, with a proxy to its model, and initialises it.
 * @throws AppError when it cannot start; the reason of the signal when that is aborted
 */
export async function launchAgent(
  deps: LaunchDeps,
  request: LaunchRequest,
  signal: AbortSignal,
): Promise<StartedAgent> {
  const { config, sandbox, upstream, redactor } = deps;
  const { definition, mode, conversation } = request;
  const problem = await definition.check(config);
  if (problem) throw problem;
  const version = definition.version();
  const api = definition.model?.(config);
  const model = api && createModelProxy(api, upstream, redactor);
  const forward = model && (await sandbox.forward(model.server, MODEL_PORT));
  // Useless elsewhere, but it should not appear in logs and events.
  if (model) redactor.addSecret(model.token);
  const closeModel = async () => {
    await forward?.close();
    if (model) redactor.removeSecret(model.token);
  };
  try {
    const { process, connection, exceeded } = await startProcess(deps, request, { model, forward, signal });
    return {
      definition,
      mode,
      version,
      process,
      model,
      exceeded,
      warn: connection.warn,
      ping: connection.ping,
      async open(sessionId, signal) {
        const canLoad =
          sessionId !== undefined && (await definition.prepareLoad(sandbox.confine, conversation, sessionId));
        const opened = connection.open(canLoad ? sessionId : undefined);
        return abortable(opened, AbortSignal.any([signal, exceeded]));
      },
      async close() {
        await process.kill();
        await closeModel();
      },
    };
  } catch (error) {
    await closeModel();
    throw error;
  }
}

async function startProcess(
  deps: LaunchDeps,
  request: LaunchRequest,
  options: { model: ModelProxy | undefined; forward: SocketForward | undefined; signal: AbortSignal },
) {
  const { config, sandbox, redactor } = deps;
  const { definition, mode, workspace, conversation, git } = request;
  const { model, forward, signal } = options;
  await mkdir(conversation, { recursive: true, mode: 0o700 });
  const access = model && forward && { url: forward.url, token: model.token };
  const prepared = await definition.prepareLaunch({ config, mode, sandbox, workspace, conversation, model: access });
  const launch = deps.compileCache.addTo(definition, prepared);
  const root = sandbox.layout({ workspace, home: launch.home.folder }).workspace;

  const excess = new AbortController();
  let connection: Connection | undefined;
  const process = await sandbox.spawn({
    ...launch,
    workspace,
    writable: mode === 'write',
    git,
    forwards: forward ? [forward] : [],
    onDenied: (text) => connection?.warn(text),
    onQuotaExceeded: (error) => excess.abort(error),
  });
  try {
    // Imported with the first agent, so that the server starts faster.
    const { connectAgent } = await import('../acp/session.ts');
    const connected = connectAgent({ process, definition, mode, root, redactor, asked: config.ASK_PERMISSION });
    connection = await abortable(connected, AbortSignal.any([signal, excess.signal]));
    return { process, connection, exceeded: excess.signal };
  } catch (error) {
    await process.kill();
    throw error;
  }
}

/** Runs a start of an agent. @throws AppError `agent_unavailable` after AGENT_START_SECONDS; the errors of the start */
export async function withStartTimeout<T>(
  { AGENT_START_SECONDS: seconds }: Pick<Config, 'AGENT_START_SECONDS'>,
  { title }: AgentDefinition,
  signal: AbortSignal,
  start: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const timeout = AbortSignal.timeout(seconds * 1000);
  try {
    return await start(AbortSignal.any([signal, timeout]));
  } catch (error) {
    if (!timeout.aborted || signal.aborted) throw error;
    throw new AppError('agent_unavailable', `${title} did not start within ${seconds} seconds.`);
  }
}
