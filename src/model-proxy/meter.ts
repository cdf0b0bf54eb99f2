import type { Usage } from '../../schemas/run.ts';
import { createLimiter } from '../concurrency/limiter.ts';
import { AppError } from '../errors/app-error.ts';
import { measurements } from '../telemetry/measurements.ts';
import { createHints } from './hints.ts';
import { trackLimits } from './limits.ts';
import type { ModelCall } from './model-api.ts';
import type { ModelTurn } from './model-turn.ts';

/** Applies to a turn without limits on tokens or turns. */
const MAX_CONCURRENT_CALLS = 8;
/** Estimates the tokens of a call without reported usage. */
const BYTES_PER_TOKEN = 4;

export type Meter = ReturnType<typeof createMeter>;

/** Admits and counts the model calls of one turn, until a limit is reached, the model fails or the turn ends. */
export function createMeter(turn: ModelTurn, redact: (text: string) => string) {
  const { notify } = turn;
  const limits = trackLimits(turn.limits);
  const run = createLimiter(limits.isSequential ? 1 : MAX_CONCURRENT_CALLS);
  const runLarge = createLimiter(1);
  const ended = new AbortController();
  const attempts = new Set<() => void>();
  let failure: AppError | undefined;

  function fail(error: AppError): AppError {
    if (failure === undefined) notify({ type: 'failure', error });
    failure ??= error;
    return failure;
  }

  function check(): void {
    if (failure) throw failure;
    const reached = limits.reached();
    if (reached !== undefined) throw fail(new AppError('budget_exceeded', reached));
  }

  return {
    notify,
    secondsLeft: limits.secondsLeft,
    hintsFor: createHints(turn, limits, redact),
    /** Aborted when the turn ends. */
    ended: ended.signal,

    /** Refuses all further calls. @returns the first error of the turn */
    fail,

    /**
     * Runs a call when the limits allow it; large calls also run one at a time.
     * @throws AppError `budget_exceeded`; the first error of the turn; the reason of `ended`
     */
    admit(call: ModelCall, isLarge: boolean, task: () => Promise<void>): Promise<void> {
      const admitted = () =>
        run(async () => {
          check();
          notify({ type: 'call', call });
          try {
            await task();
          } finally {
            if (call.usesTokens) limits.addTurn();
          }
        }, ended.signal);
      return isLarge ? runLarge(admitted, ended.signal) : admitted();
    },

    /** Tracks an attempt of a call until it is counted or ignored. @param abort called if the turn ends before that */
    track(abort: () => void) {
      attempts.add(abort);
      return {
        /** Counts the attempt by the tokens reported, or else by its size, so that no call is free. */
        count(call: ModelCall, reported: Usage | undefined, bytes: { sent: number; received: number }): void {
          if (!attempts.delete(abort) || !call.usesTokens) return;
          const usage = reported ?? estimate(bytes.sent + bytes.received);
          limits.addTokens(usage.input_tokens + usage.output_tokens);
          measurements.emit('tokens', { model: call.model, usage });
          notify({ type: 'usage', usage, model: call.model });
        },
        /** Removes an attempt that the model did not process. */
        ignore(): void {
          attempts.delete(abort);
        },
      };
    },

    /** Aborts the calls that are running. */
    end(): void {
      ended.abort(new AppError('canceled', 'The turn has ended.'));
      for (const abort of attempts) abort();
    },
  };
}

function estimate(bytes: number): Usage {
  return { input_tokens: Math.ceil(bytes / BYTES_PER_TOKEN), output_tokens: 0, cached_tokens: 0 };
}
