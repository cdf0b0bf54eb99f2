import type { Usage } from '../../schemas/run.ts';
import { createLimiter } from '../concurrency/limiter.ts';
import { AppError } from '../errors/app-error.ts';
import { measurements } from '../telemetry/measurements.ts';
import { createNotes, type NoteSource } from './hints.ts';
import { type Limit, watchLimits } from './limits.ts';
import type { ModelCall } from './model-api.ts';

/** Calls at once. Where they are counted one only: each is let through by what those before it have used. */
const MAX_CALLS = 8;
/** For a call that told no tokens. */
const BYTES_PER_TOKEN = 4;

/** What one turn of an agent may use of its model, and who is told. */
export type ModelTurn = NoteSource & {
  limits: readonly Limit[];
  /** Called when a call of the agent is let through: it is alive, and done with its tools. */
  onCall(call: ModelCall): void;
  /** Called after each call with what it used. */
  onUsage(usage: Usage, model: string): void;
  /** Called with a sentence for each call that was refused or that the model did not answer as it should. */
  onWarning(text: string): void;
  /** Called before a call is tried again, with the seconds until then. */
  onWait(seconds: number): void;
  /** Called once, when no further call can be let through in this turn: a limit is reached, or the model does not answer. */
  onFailure(error: AppError): void;
};

export type Meter = ReturnType<typeof createMeter>;

/** Counts the calls of one turn, and lets them through as long as the limits allow it and the model answers. */
export function createMeter(turn: ModelTurn) {
  const limits = watchLimits(turn.limits);
  const admit = createLimiter(limits.counted ? 1 : MAX_CALLS);
  const admitLarge = createLimiter(1);
  const over = new AbortController();
  const open = new Set<() => void>();
  let failure: AppError | undefined;

  function fail(error: AppError): AppError {
    if (failure === undefined) turn.onFailure(error);
    failure ??= error;
    return failure;
  }

  function check(): void {
    if (failure) throw failure;
    const spent = limits.spent();
    if (spent !== undefined) throw fail(new AppError('budget_exceeded', spent));
  }

  return {
    warn: turn.onWarning,
    wait: turn.onWait,
    secondsLeft: limits.secondsLeft,
    notes: createNotes(turn, limits),
    /** Aborted when the turn is over. */
    over: over.signal,

    /** Lets no further call through. @returns why, for the one that was under way */
    fail,

    /**
     * Carries out a call when it is its turn; large ones wait for each other too.
     * @throws AppError `budget_exceeded`, or what failed before in this turn; the reason when the turn ends before
     */
    admit(call: ModelCall, isLarge: boolean, task: () => Promise<void>): Promise<void> {
      const inTurn = () =>
        admit(async () => {
          check();
          turn.onCall(call);
          try {
            await task();
          } finally {
            if (call.costs) limits.addTurn();
          }
        }, over.signal);
      return isLarge ? admitLarge(inTurn, over.signal) : inTurn();
    },

    /** Enters a try of a call; `breakOff` is called if it is under way when the turn ends. */
    open(breakOff: () => void) {
      let closed = false;
      const leave = (): boolean => {
        if (closed) return false;
        closed = true;
        return open.delete(breakOff);
      };
      open.add(breakOff);
      return {
        /** It is over, and counts: by what it told, or else by its size, so that no call is for nothing. */
        close(call: ModelCall, told: Usage | undefined, bytes: { sent: number; received: number }): void {
          if (!leave() || !call.costs) return;
          const usage = told ?? estimate(bytes.sent + bytes.received);
          limits.addTokens(usage.input_tokens + usage.output_tokens);
          measurements.emit('tokens', { model: call.model, usage });
          turn.onUsage(usage, call.model);
        },
        /** The model did not work on it. */
        discard(): void {
          leave();
        },
      };
    },

    /** Breaks off what is under way. */
    end(): void {
      over.abort(new AppError('canceled', 'The turn is over.'));
      for (const breakOff of open) breakOff();
    },
  };
}

function estimate(bytes: number): Usage {
  return { input_tokens: Math.ceil(bytes / BYTES_PER_TOKEN), output_tokens: 0, cached_tokens: 0 };
}
