import type { Usage } from '../../schemas/run.ts';
import type { AppError } from '../errors/app-error.ts';

/** A model call of the agent that the proxy may forward. */
export type ModelCall = {
  url: URL;
  model: string;
  usesTokens: boolean;
  /** Whether the call carries the agent's conversation. */
  isConversation: boolean;
};

/** Text of the server for the agent, placed after the first `after` entries of its conversation. */
export type Hint = { after: number; text: string };

/** The conversation in a model call. */
export type Conversation = {
  /** Oldest first. `end` is the offset in the body after the last part of the entry, in bytes. */
  entries: readonly { isAgent: boolean; end: number }[];
  /** The newest tool call if it failed, and how many times in a row it failed in the same way. */
  repeatedFailure: { call: string; times: number } | undefined;
};

/** The canonical form of a call that passed the allow-list of its API. */
export type ModelRequest = {
  body: Uint8Array<ArrayBuffer>;
  /** Set for a call that `isConversation`. */
  conversation?: Conversation;
};

/** Checks the parsed body of a call against the allow-list of its API. Returns the first field that is not on it as `refused`. */
export type RequestReader = (
  body: unknown,
  call: Pick<ModelCall, 'model' | 'usesTokens' | 'isConversation'>,
) => ModelRequest | { refused: string };

/** The model APIs whose requests the server can read. */
export type RequestFormat = 'gemini';

/** The meaning of an error response: the proxy retries the call, fails the turn, or forwards the response to the agent. */
export type ModelFailure = {
  next: 'retry' | 'fail' | 'forward';
  error: AppError;
  /** One sentence for the log of the run; empty when the error says it all. */
  summary: string;
  /** Seconds that the API asks clients to wait. */
  waitSeconds?: number | undefined;
};

/** The API through which an agent calls its model. The key stays in the server. */
export type ModelApi = {
  /** Selects the allow-list for requests. */
  format: RequestFormat;
  /** Header that carries the key, in lower case. */
  keyHeader: string;
  key: string;
  /** Further headers of the agent that the proxy forwards, in lower case. */
  forwardedHeaders: readonly string[];
  /** The models that the settings allow. */
  models: ReadonlySet<string>;
  unreachableRemedy: string;
  /** Returns the call that a request makes, or undefined if agents do not need it. @param target path and query */
  call(method: string, target: string): ModelCall | undefined;
  /** Returns the tokens reported in a response or one of its events, cumulative for the call. */
  usage(response: unknown): Usage | undefined;
  /** Formats an error as the API does. */
  errorBody(status: number, message: string): object;
  /** Classifies a response with an error status. @param body redacted */
  classifyFailure(status: number, body: string): ModelFailure;
  /**
   * Returns the body with hints added, never to an entry of the agent. A hint whose position no longer exists goes to the
   * last entry.
   */
  addHints(body: Uint8Array, conversation: Conversation, hints: readonly Hint[]): Uint8Array;
};
