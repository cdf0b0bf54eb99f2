import type { Usage } from '../../schemas/run.ts';
import type { TokenBudget } from '../agents/model-meter.ts';
import type { Config } from '../config/load-config.ts';
import type { Store } from '../store/open-store.ts';
import type { RunRow } from '../store/runs.ts';

/**
 * What a run may use of its model from now on: the tighter of what is left for the run and for its key today. Runs of a
 * key that are under way at once each see what was used when their turn began.
 * @param used what the run has used so far
 */
export async function tokenBudget(
  config: Config,
  store: Pick<Store, 'runs'>,
  run: RunRow,
  used: Usage,
): Promise<TokenBudget | undefined> {
  const ofRun = tokens(used);
  const budgets: TokenBudget[] = [];
  const { MAX_TOKENS_PER_RUN: perRun, MAX_TOKENS_PER_KEY_PER_DAY: perDay } = config;
  if (perRun !== undefined) budgets.push({ setting: 'MAX_TOKENS_PER_RUN', limit: perRun, used: ofRun });
  if (perDay !== undefined && run.key_id !== null) {
    const midnight = `${new Date().toISOString().slice(0, 10)}T00:00:00.000Z`;
    const usages = await store.runs.usageOfKey(run.key_id, midnight);
    const today = usages.reduce((sum, usage) => sum + tokens(JSON.parse(usage)), 0);
    budgets.push({ setting: 'MAX_TOKENS_PER_KEY_PER_DAY', limit: perDay, used: today });
  }
  return budgets.toSorted((a, b) => a.limit - a.used - (b.limit - b.used))[0];
}

function tokens({ input_tokens, output_tokens }: Usage): number {
  return input_tokens + output_tokens;
}
