import type { EventDraft } from '../../../schemas/event.ts';
import type { ModelNotification } from '../../model-proxy/model-turn.ts';
import type { AskPermission } from '../acp/permission-policy.ts';

/** A notification of a turn, in the order in which the agent and its model cause them. */
export type TurnNotification =
  /** Before the prompt: the session of the turn, which persists however the turn ends. */
  | { type: 'session'; sessionId: string }
  | { type: 'event'; draft: EventDraft }
  | { type: 'modelCall' }
  | Extract<ModelNotification, { type: 'retry' | 'limitNear' | 'repeatedFailure' }>;

export type TurnListener = {
  notify(notification: TurnNotification): void;
  /** Asks a person about a tool call that the policy does not decide. */
  ask: AskPermission;
  /** Returns a promise while events wait to be written. The agent is read no further until it resolves. */
  drained?: (() => Promise<void> | undefined) | undefined;
};
