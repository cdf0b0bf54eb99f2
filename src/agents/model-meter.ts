import type { Usage } from '../../schemas/run.ts';
import { AppError } from '../errors/app-error.ts';
import { measurements } from '../telemetry/measurements.ts';
import type { ModelCall } from './agent-definition.ts';
import { createStartLimit } from './start-limit.ts';

/** Calls at once. With a budget one only: each is let through by what those before it have used. */
const MAX_CALLS = 8;
/** For a call that told no tokens. */
const BYTES_PER_TOKEN = 4;

/** Tokens that may be used, those that were used before this turn, and the setting that says so. */
export type TokenBudget = { setting: string; limit: number; used: number };

/** What one turn of an agent may use of its model, and who is told. */
export type ModelTurn = {
  budget?: TokenBudget | undefined;
  /** Called after each call with what it used. */
  onUsage(usage: Usage, model: string): void;
  /** Called with a sentence for each call that was refused or that the model did not answer as it should. */
  onWarning(text: string): void;
  /** Called when a call is not let through because the budget is spent. */
  onSpent(error: AppError): void;
};

export type Meter = ReturnType<typeof createMeter>;

/** Counts the calls of one turn, and lets them through as long as the budget lasts. */
export function createMeter({ budget, onUsage, onWarning, onSpent }: ModelTurn) {
  const limit = createStartLimit(budget ? 1 : MAX_CALLS);
  const over = new AbortController();
  const open = new Set<() => void>();
  let used = budget?.used ?? 0;

  function checkBudget(): void {
    if (!budget || used < budget.limit) return;
    const error = new AppError(
      'budget_exceeded',
      `${used} tokens are used; ${budget.setting} allows ${budget.limit}.`,
      { remedy: `Raise ${budget.setting}, or ask for less at once.` },
    );
    onSpent(error);
    throw error;
  }

  return {
    warn: onWarning,

    /**
     * Carries out a call when it is its turn.
     * @throws AppError `budget_exceeded`; the reason when the turn ends before
     */
    admit(task: () => Promise<void>): Promise<void> {
      return limit(async () => {
        checkBudget();
        await task();
      }, over.signal);
    },

    /** Enters a call that has begun; `breakOff` is called if it is under way when the turn ends. */
    open(breakOff: () => void) {
      const { promise: done, resolve } = Promise.withResolvers<void>();
      let closed = false;
      const leave = (): boolean => {
        if (closed) return false;
        closed = true;
        open.delete(breakOff);
        resolve();
        return true;
      };
      open.add(breakOff);
      return {
        /** Resolves when the call has been closed or discarded. */
        done,
        closed: () => closed,
        /** It is over, and counts: by what it told, or else by its size, so that no call is for nothing. */
        close(call: ModelCall, told: Usage | undefined, bytes: { sent: number; received: number }): void {
          if (!leave() || !call.costs) return;
          const usage = told ?? estimate(bytes.sent + bytes.received);
          used += usage.input_tokens + usage.output_tokens;
          measurements.emit('tokens', { model: call.model, usage });
          onUsage(usage, call.model);
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
