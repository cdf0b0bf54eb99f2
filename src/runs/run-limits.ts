import type { Usage } from '../../schemas/run.ts';
import type { Limit } from '../agents/model-limits.ts';
import type { Config } from '../config/load-config.ts';
import { AppError } from '../errors/app-error.ts';
import type { Store } from '../store/open-store.ts';
import type { RunRow } from '../store/runs.ts';

/** What a run has used so far. */
export type Spent = { usage: Usage; turns: number; seconds: number };

/**
 * What a run may use from now on. Runs of a key that are under way at once each see what was used when their turn began.
 */
export async function runLimits(
  config: Config,
  store: Pick<Store, 'runs'>,
  run: RunRow,
  spent: Spent,
): Promise<Limit[]> {
  const { MAX_TOKENS_PER_RUN: tokensOfRun, MAX_TURNS_PER_RUN: turnsOfRun, MAX_TOKENS_PER_KEY_PER_DAY: perDay } = config;
  const limits: Limit[] = [{ ...timeLimit(config), used: spent.seconds }];
  if (tokensOfRun !== undefined) {
    limits.push({ setting: 'MAX_TOKENS_PER_RUN', unit: 'tokens', limit: tokensOfRun, used: tokens(spent.usage) });
  }
  if (turnsOfRun !== undefined) {
    limits.push({ setting: 'MAX_TURNS_PER_RUN', unit: 'turns', limit: turnsOfRun, used: spent.turns });
  }
  if (perDay !== undefined && run.key_id !== null) {
    const midnight = `${new Date().toISOString().slice(0, 10)}T00:00:00.000Z`;
    const usages = await store.runs.usageOfKey(run.key_id, midnight);
    const used = usages.reduce((sum, usage) => sum + tokens(JSON.parse(usage)), 0);
    limits.push({ setting: 'MAX_TOKENS_PER_KEY_PER_DAY', unit: 'tokens', limit: perDay, used });
  }
  return limits;
}

/** How long a run may take. */
export function timeLimit(config: Config): { setting: string; unit: 'seconds'; limit: number } {
  return { setting: 'RUN_TIMEOUT_SECONDS', unit: 'seconds', limit: config.RUN_TIMEOUT_SECONDS };
}

/** The error of a run that took longer than it may. */
export function outOfTime(config: Config): AppError {
  const { setting, limit } = timeLimit(config);
  return new AppError('timed_out', `The run took longer than the ${limit} s that ${setting} allows.`);
}

function tokens({ input_tokens, output_tokens }: Usage): number {
  return input_tokens + output_tokens;
}
