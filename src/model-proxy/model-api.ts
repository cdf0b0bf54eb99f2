import type { Usage } from '../../schemas/run.ts';
import type { AppError } from '../errors/app-error.ts';

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
