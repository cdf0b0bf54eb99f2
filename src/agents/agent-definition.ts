import type { Config } from '../config/load-config.ts';
import type { AppError } from '../errors/app-error.ts';
import type { ModelApi } from '../model-proxy/model-api.ts';
import type { Confine } from '../sandbox/confined/confine.ts';
import type { Sandbox } from '../sandbox/sandbox.ts';
import type { SandboxRequest } from '../sandbox/types.ts';

/** `read` cannot change the workspace (chat, make_plan); `write` can (dev). */
export type AgentMode = 'read' | 'write';

/** The settings that agent definitions read. */
export type AgentSettings = Pick<
  Config,
  'ASK_PERMISSION' | 'GEMINI_API_KEY' | 'GEMINI_MODEL' | 'GOOGLE_GEMINI_BASE_URL'
>;

export type LaunchContext = {
  config: AgentSettings;
  mode: AgentMode;
  sandbox: Pick<Sandbox, 'kind' | 'path' | 'layout'>;
  workspace: string;
  /** The agent's folder for this ticket, which its processes share. */
  conversation: string;
  /** The model proxy and the token for it; undefined when the definition names no API. */
  model: { url: string; token: string } | undefined;
};

/** The part of a sandbox request that the agent decides. */
export type Launch = Pick<SandboxRequest, 'argv' | 'env' | 'mounts'> & Required<Pick<SandboxRequest, 'home'>>;

/** An error response of an ACP peer, with its `code`, or the last output of a process that exited. */
export type AgentFailure = { code?: number; message: string };

/** All that is particular to one agent. The server reaches every agent through ACP. */
export type AgentDefinition = {
  /** The value of `AGENT`, and of `agent` in a run. */
  name: string;
  title: string;
  /** Returns the version of the installed agent. @throws AppError `agent_unavailable` when it is not installed */
  version(): string;
  /** Returns the API of its model, if it has one. Called after `check` has passed. */
  model?(config: AgentSettings): ModelApi;
  /** Returns why the agent cannot work with these settings: `agent_auth` or `agent_unavailable`. */
  check(config: AgentSettings): Promise<AppError | undefined>;
  /**
   * Writes the files of the process's home and returns how to start it. Called before every start; also checks the files that
   * safety depends on. @throws AppError `agent_unavailable`
   */
  prepareLaunch(context: LaunchContext): Promise<Launch>;
  /**
   * Prepares the files of a conversation for `session/load`, by confined programs only, since an agent could write them. No process
   * may use them at the time. @returns false when the session has no files
   */
  prepareLoad(confine: Confine, conversation: string, sessionId: string): Promise<boolean>;
  /** Kind of the last update of a replay, for an agent that answers `session/load` before the replay. */
  replayEndsWith?: string;
  /** Escapes a prompt that the agent would take for a command of its own. */
  promptText(text: string): string;
  /** Returns whether a line of stderr is not worth a log event. */
  isNoise(line: string): boolean;
  /** Returns the meaning of an error that has a particular one. */
  classifyError(failure: AgentFailure): AppError | undefined;
};
