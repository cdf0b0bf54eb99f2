import type { EventDraft } from '../../schemas/event.ts';
import type { Usage } from '../../schemas/run.ts';
import type { AppError } from '../errors/app-error.ts';
import type { NoteSource } from '../model-proxy/hints.ts';
import type { Limit } from '../model-proxy/limits.ts';
import type { StartedAgent } from './pool/launch-agent.ts';

/** How long an agent that lost its model may take to end its turn. A turn that ends with an error stays in the conversation. */
const FAILURE_MS = 5000;

export type MeteredTurn = NoteSource & {
  /** What the run may use, and what of it was used before this turn. */
  limits: readonly Limit[];
  onEvent(draft: EventDraft): void;
  /** Called when the agent calls its model. */
  onCall?(): void;
  /** Called when a call is to be tried again, with the seconds until then. */
  onWait?(seconds: number): void;
};

/**
 * Lets an agent call its model for the length of a turn.
 * @param giveUp called when it does not end its turn although it has no model any more
 */
export function meterTurn(
  { model, warn }: Pick<StartedAgent, 'model' | 'warn'>,
  turn: MeteredTurn,
  giveUp: (error: AppError) => void,
) {
  const { limits, onEvent, onLimitNear, onRepeatedFailure } = turn;
  const usage: Usage = { input_tokens: 0, output_tokens: 0, cached_tokens: 0 };
  let failure: AppError | undefined;
  let patience: NodeJS.Timeout | undefined;
  const end = model?.begin({
    limits,
    onLimitNear,
    onRepeatedFailure,
    onCall: (call) => call.costs && turn.onCall?.(),
    onWait: (seconds) => turn.onWait?.(seconds),
    onUsage(used, name) {
      usage.input_tokens += used.input_tokens;
      usage.output_tokens += used.output_tokens;
      usage.cached_tokens += used.cached_tokens;
      onEvent({ type: 'usage.updated', data: { ...usage, model: name } });
    },
    onWarning: warn,
    onFailure(error) {
      failure = error;
      patience = setTimeout(() => giveUp(error), FAILURE_MS);
    },
  });
  return {
    usage,
    /** Why the agent was left without its model, whatever it makes of it. */
    failure: () => failure,
    end() {
      clearTimeout(patience);
      end?.();
    },
  };
}
