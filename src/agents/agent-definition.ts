import type { Usage } from '../../schemas/run.ts';
import type { Config } from '../config/load-config.ts';
import type { AppError } from '../errors/app-error.ts';
import type { Confine } from '../sandbox/confine.ts';
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

/** A call of the agent that may go to the model. */
export type ModelCall = {
  url: URL;
  model: string;
  /** Whether it uses tokens. */
  costs: boolean;
  /** Whether it carries the agent's conversation on. */
  converses: boolean;
};

/** Words of the server for the agent, behind the first `after` entries of its conversation. */
export type Note = { after: number; text: string };

/** The conversation in a call of the model. */
export type Conversation = {
  /** Oldest first: whether the agent itself speaks, and the place in the body behind the last part, in bytes. */
  entries: readonly { isAgents: boolean; end: number }[];
  /** The newest call of a tool, if it failed, and how many times in a row the very same failed in the same way. */
  repeated: { call: string; times: number } | undefined;
};

/** A call as it may be forwarded: what the allow-list of its API admits, in canonical form. */
export type ModelRequest = {
  body: Uint8Array<ArrayBuffer>;
  /** Of a call that converses. */
  conversation?: Conversation;
};

/** Checks the parsed body of a call against the allow-list of its API, or names the field that is not on it. */
export type RequestReader = (
  body: unknown,
  call: Pick<ModelCall, 'model' | 'costs' | 'converses'>,
) => ModelRequest | { refused: string };

/** The APIs whose requests the server can read. */
export type RequestFormat = 'gemini';

/** What becomes of a call that the model did not answer: it is tried again, the turn ends, or the agent is told. */
export type ModelTrouble = {
  next: 'retry' | 'end' | 'tell';
  error: AppError;
  /** What happened, in a few words. */
  words: string;
  /** When the API wants to be asked again. */
  waitSeconds?: number | undefined;
};

/** The API through which an agent calls its model. The key stays in the server. */
export type ModelApi = {
  /** Header that carries the key, in lower case. */
  keyHeader: string;
  key: string;
  /** The call that a request is, when it is one that the agent needs. @param target path and query */
  call(method: string, target: string): ModelCall | undefined;
  /** Tokens told in an answer, or in an event of one: all those of the call so far. */
  usage(answer: unknown): Usage | undefined;
  /** An error in the form of the API. */
  errorBody(status: number, message: string): object;
  /** What an answer with an error status means. @param body without secrets */
  trouble(status: number, body: string): ModelTrouble;
  /** Which allow-list holds for its requests. */
  format: RequestFormat;
  /** The models that the settings let the agent use. */
  models: ReadonlySet<string>;
  /** The body of a call with words of the server; never in the agent's own, and last where the entry is gone. */
  addNotes(body: Uint8Array, conversation: Conversation, notes: readonly Note[]): Uint8Array;
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
