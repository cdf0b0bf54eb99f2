import type { Usage } from '../../../schemas/run.ts';
import type { AppError } from '../../errors/app-error.ts';
import type { ModelTurn } from '../../model-proxy/model-turn.ts';
import type { StartedAgent } from '../pool/launch-agent.ts';
import type { TurnListener } from './listener.ts';

/** Time in which an agent without its model may end its turn. Such a turn stays in the conversation. */
const END_TIMEOUT_MS = 5000;

/**
 * Lets an agent call its model during a turn.
 * @param abort aborts the turn if the agent does not end it after its model has failed
 */
export function meterTurn(
  { model, warn }: Pick<StartedAgent, 'model' | 'warn'>,
  { limits, hints }: Pick<ModelTurn, 'limits' | 'hints'>,
  { notify }: Pick<TurnListener, 'notify'>,
  abort: AbortController,
) {
  const usage: Usage = { input_tokens: 0, output_tokens: 0, cached_tokens: 0 };
  let failure: AppError | undefined;
  let endTimer: NodeJS.Timeout | undefined;

  const onModel: ModelTurn['notify'] = (notification) => {
    switch (notification.type) {
      case 'call':
        if (notification.call.usesTokens) notify({ type: 'modelCall' });
        break;
      case 'usage': {
        const { usage: used, model } = notification;
        usage.input_tokens += used.input_tokens;
        usage.output_tokens += used.output_tokens;
        usage.cached_tokens += used.cached_tokens;
        notify({ type: 'event', draft: { type: 'usage.updated', data: { ...usage, model } } });
        break;
      }
      case 'warning':
        warn(notification.text);
        break;
      case 'failure':
        failure = notification.error;
        endTimer = setTimeout(() => abort.abort(failure), END_TIMEOUT_MS);
        break;
      default:
        notify(notification);
    }
  };

  const end = model?.begin({ limits, hints, notify: onModel });
  return {
    usage,
    /** Returns the reason why the agent lost its model: the error of the turn, whatever the agent makes of it. */
    failure: () => failure,
    end() {
      clearTimeout(endTimer);
      end?.();
    },
  };
}
