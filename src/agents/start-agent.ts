import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '../config/load-config.ts';
import type { AppError } from '../errors/app-error.ts';
import type { Redactor } from '../redaction/redactor.ts';
import type { Sandbox } from '../sandbox/sandbox.ts';
import type { Service } from '../sandbox/service.ts';
import type { SandboxedProcess } from '../sandbox/types.ts';
import { abortable } from './abortable.ts';
import { openSession, type Session } from './acp-session.ts';
import type { AgentDefinition, AgentMode } from './agent-definition.ts';
import { createModelProxy, type ModelProxy } from './model-proxy.ts';
import type { Upstream } from './upstream.ts';

/** Loopback port of the model, in every sandbox of an agent. */
const MODEL_PORT = 41_701;

export type StartOptions = {
  config: Config;
  sandbox: Sandbox;
  redactor: Redactor;
  upstream: Upstream;
  definition: AgentDefinition;
  ticketId: string;
  mode: AgentMode;
  /** Folder of the host. */
  workspace: string;
  readOnlyPaths: readonly string[];
  /** Conversation to continue. */
  sessionId?: string | undefined;
  /** Called when the agent has to be ended because of what it did. */
  onExcess(error: AppError): void;
  signal: AbortSignal;
};

/** An agent that waits for prompts. */
export type StartedAgent = {
  process: SandboxedProcess;
  session: Session;
  /** Its way to the model, if it has one; closed between turns. */
  model: ModelProxy | undefined;
  /** Ends the process with all that it started, and its way to the model. */
  close(): Promise<void>;
};

/**
 * Starts an agent in its sandbox, with a proxy to its model, and opens its session.
 * @throws AppError when it cannot be started; the reason of the signal when that is aborted
 */
export async function startAgent(options: StartOptions): Promise<StartedAgent> {
  const { config, sandbox, upstream, redactor, definition } = options;
  const problem = await definition.check(config);
  if (problem) throw problem;
  const api = definition.model?.(config);
  const model = api && createModelProxy(api, upstream, redactor);
  const service = model && (await sandbox.serve(model.server, MODEL_PORT));
  // Worth nothing to others, but nobody has reason to see it.
  if (model) redactor.learn(model.token);
  const closeModel = async () => {
    await service?.close();
    if (model) redactor.forget(model.token);
  };
  try {
    const { process, session } = await startProcess(options, model, service);
    return {
      process,
      session,
      model,
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

async function startProcess(options: StartOptions, model: ModelProxy | undefined, service: Service | undefined) {
  const { config, sandbox, redactor, definition, mode, workspace, readOnlyPaths, sessionId } = options;
  const conversation = join(config.DATA_DIR, 'conversations', options.ticketId, definition.name);
  await mkdir(conversation, { recursive: true, mode: 0o700 });
  const known = sessionId !== undefined && (await definition.prepareLoad(conversation, sessionId));
  const access = model && service && { url: service.url, token: model.token };
  const launch = await definition.prepareLaunch({ config, mode, sandbox, workspace, conversation, model: access });
  const root = sandbox.layout({ workspace, home: launch.home.folder }).workspace;

  let session: Session | undefined;
  const process = await sandbox.spawn({
    ...launch,
    workspace,
    writable: mode === 'write',
    readOnlyPaths,
    services: service ? [service] : [],
    onDenied: (text) => session?.warn(text),
    onTooLarge: options.onExcess,
  });
  try {
    const opened = openSession({
      process,
      definition,
      mode,
      root,
      redactor,
      asked: config.ASK_PERMISSION,
      load: known ? sessionId : undefined,
    });
    session = await abortable(opened, options.signal);
    return { process, session };
  } catch (error) {
    await process.kill();
    throw error;
  }
}
