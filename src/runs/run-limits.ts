import type { Budget, Usage } from '../../schemas/run.ts';
import type { Config } from '../config/load-config.ts';
import { AppError } from '../errors/app-error.ts';
import type { Limit } from '../model-proxy/limits.ts';
import type { Store } from '../store/open-store.ts';
import type { RunRow } from '../store/schema.ts';

/** The resources that a run has used. */
export type Spent = { usage: Usage; turns: number; seconds: number };

type TimeConfig = Pick<Config, 'RUN_TIMEOUT_SECONDS'>;
type LimitConfig = TimeConfig & Pick<Config, 'MAX_TOKENS_PER_RUN' | 'MAX_TURNS_PER_RUN' | 'MAX_TOKENS_PER_KEY_PER_DAY'>;

/**
 * Returns the limits of a run and what it has used of each. The daily tokens of a key are read once: concurrent runs of
 * the key do not see what the others use from then on.
 */
export async function runLimits(
  config: LimitConfig,
  store: Pick<Store, 'runs'>,
  run: RunRow,
  spent: Spent,
): Promise<Limit[]> {
  const { MAX_TOKENS_PER_RUN: tokensOfRun, MAX_TURNS_PER_RUN: turnsOfRun, MAX_TOKENS_PER_KEY_PER_DAY: perDay } = config;
  const budget = budgetOf(run);
  const limits: Limit[] = [{ ...timeLimit(config, run), used: spent.seconds }];
  const add = (setting: string, unit: Limit['unit'], limit: number | undefined, used: number) => {
    if (limit !== undefined) limits.push({ setting, unit, limit, used });
  };
  add('MAX_TOKENS_PER_RUN', 'tokens', tokensOfRun, tokens(spent.usage));
  add('budget.tokens', 'tokens', budget.tokens, tokens(spent.usage));
  add('MAX_TURNS_PER_RUN', 'turns', turnsOfRun, spent.turns);
  add('budget.turns', 'turns', budget.turns, spent.turns);
  if (perDay !== undefined && run.key_id !== null) {
    const today = new Date().toISOString().slice(0, 10);
    add('MAX_TOKENS_PER_KEY_PER_DAY', 'tokens', perDay, await store.runs.tokensUsedBy(run.key_id, today));
  }
  return limits;
}

/** Returns the time limit of a run, for all its attempts together. */
export function timeLimit(config: TimeConfig, run: RunRow): Pick<Limit, 'setting' | 'limit'> & { unit: 'seconds' } {
  const { seconds } = budgetOf(run);
  if (seconds !== undefined && seconds < config.RUN_TIMEOUT_SECONDS) {
    return { setting: 'budget.seconds', unit: 'seconds', limit: seconds };
  }
  return { setting: 'RUN_TIMEOUT_SECONDS', unit: 'seconds', limit: config.RUN_TIMEOUT_SECONDS };
}

export function timeLimitExceeded(config: TimeConfig, run: RunRow): AppError {
  const { setting, limit } = timeLimit(config, run);
  return new AppError('timed_out', `The run took longer than the ${limit} s that ${setting} allows.`);
}

function budgetOf({ budget }: RunRow): Budget {
  return budget === null ? {} : JSON.parse(budget);
}

function tokens({ input_tokens, output_tokens }: Usage): number {
  return input_tokens + output_tokens;
}
