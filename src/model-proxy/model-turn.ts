import type { Usage } from '../../schemas/run.ts';
import type { AppError } from '../errors/app-error.ts';
import type { Limit, NearLimit } from './limits.ts';
import type { ModelCall } from './model-api.ts';

/** A notification of the model proxy during a turn. */
export type ModelNotification =
  /** The proxy forwards a call, so the agent is alive and its tools have finished. */
  | { type: 'call'; call: ModelCall }
  /** A call finished, or was aborted after the model had started. */
  | { type: 'usage'; usage: Usage; model: string }
  /** The proxy refused a call, or the model failed. */
  | { type: 'warning'; text: string }
  | { type: 'retry'; waitSeconds: number }
  /** Once a turn: the agent gets the hint of this limit. */
  | { type: 'limitNear'; limit: NearLimit }
  /** The agent gets a hint about a tool call that keeps failing. The call is redacted and shortened. */
  | { type: 'repeatedFailure'; call: string; times: number }
  /** Once a turn: the proxy refuses all further calls, because of a limit or of the model. */
  | { type: 'failure'; error: AppError };

/** The texts of the hints of one turn. */
export type HintTexts = {
  limitNear(limit: NearLimit): string;
  repeatedFailure(call: string, times: number): string;
};

/** One turn of an agent as the model proxy sees it. */
export type ModelTurn = {
  limits: readonly Limit[];
  hints: HintTexts;
  notify(notification: ModelNotification): void;
};
