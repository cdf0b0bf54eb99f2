import type { Config } from '../config/load-config.ts';
import type { AppError } from '../errors/app-error.ts';
import type { ModelApi } from '../model-proxy/model-api.ts';
import type { Confine } from '../sandbox/confined/confine.ts';
import type { Sandbox } from '../sandbox/sandbox.ts';
import type { SandboxRequest } from '../sandbox/types.ts';

/** `read`: look at the workspace (chat, make_plan); `write`: change it (dev). */
export type AgentMode = 'read' | 'write';

export type LaunchContext = {
  config: Config;
  mode: AgentMode;
  sandbox: Pick<Sandbox, 'kind' | 'path' | 'layout'>;
  workspace: string;
  /** The agent's folder for this ticket, for what lasts from process to process. */
  conversation: string;
  /** Where the agent finds its model, and what it sends as the key; none when the definition names no API. */
  model: { url: string; token: string } | undefined;
};

/** How to start the agent: the part of a sandbox request that the agent decides. */
export type Launch = Pick<SandboxRequest, 'argv' | 'env' | 'mounts'> & Required<Pick<SandboxRequest, 'home'>>;

/** An error that an ACP peer answered (`code`), or the last words of a process that ended (none). */
export type AgentFailure = { code?: number; message: string };

/** All that is particular to one agent; everything else about agents is ACP. */
export type AgentDefinition = {
  /** What a run and `AGENT` call it. */
  name: string;
  title: string;
  /** Version of the installed agent. @throws AppError `agent_unavailable` when there is none */
  version(): string;
  /** The API of its model; called after `check` found nothing wrong. None for an agent that has no model. */
  model?(config: Config): ModelApi;
  /** Why it would not work with these settings, if so: `agent_auth` or `agent_unavailable`. */
  check(config: Config): Promise<AppError | undefined>;
  /**
   * Writes what the process finds in its home and says how to start it. Called before every start; what it relies on
   * for safety is checked here. @throws AppError `agent_unavailable`
   */
  prepareLaunch(context: LaunchContext): Promise<Launch>;
  /**
   * Readies the files of a conversation for `session/load`; false when there are none. No process may be using them. What an
   * agent could write is touched by confined programs only.
   */
  prepareLoad(confine: Confine, conversation: string, sessionId: string): Promise<boolean>;
  /** Kind of the update that is the last of a replay, for an agent that answers `session/load` before it has replayed. */
  replayEndsWith?: string;
  /** The prompt in a form that the agent takes for words to the model, whatever it begins with. */
  promptText(text: string): string;
  /** Whether a line of stderr says nothing to anybody. */
  isNoise(line: string): boolean;
  /** What an error means, when it means something in particular. */
  classifyError(failure: AgentFailure): AppError | undefined;
};
