import { mkdir } from 'node:fs/promises';
import { abortable } from '../../concurrency/abortable.ts';
import type { Config } from '../../config/load-config.ts';
import type { AppError } from '../../errors/app-error.ts';
import { createModelProxy, type ModelProxy } from '../../model-proxy/model-proxy.ts';
import type { Upstream } from '../../model-proxy/upstream.ts';
import type { Redactor } from '../../redaction/redactor.ts';
import type { Sandbox } from '../../sandbox/sandbox.ts';
import type { SocketForward } from '../../sandbox/socket-forward.ts';
import type { SandboxedProcess, SandboxRequest } from '../../sandbox/types.ts';
import type { Connection, Session } from '../acp/session.ts';
import type { AgentDefinition, AgentMode } from '../agent-definition.ts';
import type { CompileCache } from './compile-cache.ts';

/** Loopback port of the model, in every sandbox of an agent. */
const MODEL_PORT = 41_701;

export type StartOptions = {
  config: Config;
  sandbox: Sandbox;
  redactor: Redactor;
  upstream: Upstream;
  compileCache: CompileCache;
  definition: AgentDefinition;
  mode: AgentMode;
  /** Folder of the host. */
  workspace: string;
  /** Folder of the host for what lasts from process to process; made when it is not there. */
  conversation: string;
  /** The git directory and the mirror of the workspace, for an agent that may use git. */
  git: SandboxRequest['git'];
  /** Called when the agent has to be ended because of what it did. */
  onExcess(error: AppError): void;
  signal: AbortSignal;
};

/** An agent that is initialised, and has no session yet. */
export type StartedAgent = {
  definition: AgentDefinition;
  mode: AgentMode;
  /** Of the agent when it was started. */
  version: string;
  process: SandboxedProcess;
  /** Its way to the model, if it has one; closed between turns. */
  model: ModelProxy | undefined;
  warn: Connection['warn'];
  answers: Connection['answers'];
  /**
   * Opens its session; to be called once, when no other process uses the conversation.
   * @param sessionId conversation to continue
   * @throws AppError; as the signal says when that is aborted. The agent is to be closed then
   */
  open(sessionId: string | undefined, signal: AbortSignal): Promise<Session>;
  /** Ends the process with all that it started, and its way to the model. */
  close(): Promise<void>;
};

/**
 * Starts an agent in its sandbox, with a proxy to its model, and initialises it.
 * @throws AppError when it cannot be started; as the signal says when that is aborted
 */
export async function startAgent(options: StartOptions): Promise<StartedAgent> {
  const { config, sandbox, upstream, redactor, definition, mode, conversation } = options;
  const problem = await definition.check(config);
  if (problem) throw problem;
  const version = definition.version();
  const api = definition.model?.(config);
  const model = api && createModelProxy(api, upstream, redactor);
  const forward = model && (await sandbox.forward(model.server, MODEL_PORT));
  // Worth nothing to others, but nobody has reason to see it.
  if (model) redactor.addSecret(model.token);
  const closeModel = async () => {
    await forward?.close();
    if (model) redactor.removeSecret(model.token);
  };
  try {
    const { process, connection } = await startProcess(options, model, forward);
    return {
      definition,
      mode,
      version,
      process,
      model,
      warn: connection.warn,
      answers: connection.answers,
      async open(sessionId, signal) {
        const known =
          sessionId !== undefined && (await definition.prepareLoad(sandbox.confine, conversation, sessionId));
        return abortable(connection.open(known ? sessionId : undefined), signal);
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

async function startProcess(options: StartOptions, model: ModelProxy | undefined, forward: SocketForward | undefined) {
  const { config, sandbox, redactor, definition, mode, workspace, conversation, git } = options;
  await mkdir(conversation, { recursive: true, mode: 0o700 });
  const access = model && forward && { url: forward.url, token: model.token };
  const prepared = await definition.prepareLaunch({ config, mode, sandbox, workspace, conversation, model: access });
  const launch = options.compileCache.addTo(definition, prepared);
  const root = sandbox.layout({ workspace, home: launch.home.folder }).workspace;

  let connection: Connection | undefined;
  const process = await sandbox.spawn({
    ...launch,
    workspace,
    writable: mode === 'write',
    ...(git && { git }),
    forwards: forward ? [forward] : [],
    onDenied: (text) => connection?.warn(text),
    onQuotaExceeded: options.onExcess,
  });
  try {
    // What speaks ACP is loaded with the first agent: the server is there sooner.
    const { connectAgent } = await import('../acp/session.ts');
    const connected = connectAgent({ process, definition, mode, root, redactor, asked: config.ASK_PERMISSION });
    connection = await abortable(connected, options.signal);
    return { process, connection };
  } catch (error) {
    await process.kill();
    throw error;
  }
}
