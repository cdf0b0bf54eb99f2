import type { UsageItem, UsageQuery, UsageReport } from '../../schemas/usage.ts';
import { AppError } from '../errors/app-error.ts';
import type { UsageStore, UsageSum } from '../store/usage.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
const DEFAULT_DAYS = 30;

/**
 * Sums the usage of runs by day, ticket or key.
 * @param repositories of the tickets to count, as `HOST/OWNER/NAME` or `HOST/OWNER/*` in lower case; all if undefined
 * @throws AppError `invalid_request` when `to` is before `from`
 */
export async function usageReport(
  store: UsageStore,
  { by, from, to }: UsageQuery,
  repositories: readonly string[] | undefined,
): Promise<UsageReport> {
  const last = to ?? dayOf(Date.now());
  // Not before 1970: some years do not have four digits.
  const first = from ?? dayOf(Math.max(0, Date.parse(last) - (DEFAULT_DAYS - 1) * DAY_MS));
  if (first > last) {
    throw new AppError('invalid_request', `The last day (${last}) is before the first (${first}).`, {
      errors: [
        from === undefined
          ? { path: '/to', message: `must be at least ${first}` }
          : { path: '/from', message: `must be at most ${last}` },
      ],
    });
  }
  const items = new Map<string | null, UsageItem>();
  for (const sum of await store.sums({ by, from: first, to: last, repositories })) {
    const item = items.get(sum.group) ?? emptyItem(by, sum.group);
    items.set(sum.group, item);
    add(item, sum);
  }
  return { from: first, to: last, items: [...items.values()].sort(by === 'day' ? byDay : byTokens) };
}

function emptyItem(by: UsageQuery['by'], group: string | null): UsageItem {
  const name = by === 'key' ? { key_id: group } : { [by === 'day' ? 'day' : 'ticket_id']: group ?? '' };
  const tokens = { input_tokens: 0, output_tokens: 0, cached_tokens: 0 };
  return { ...name, runs: 0, runs_by_state: {}, runs_by_action: {}, ...tokens, duration_ms: 0 };
}

function add(item: UsageItem, sum: UsageSum): void {
  for (const field of ['runs', 'input_tokens', 'output_tokens', 'cached_tokens', 'duration_ms'] as const) {
    item[field] += sum[field];
  }
  item.runs_by_state[sum.state] = (item.runs_by_state[sum.state] ?? 0) + sum.runs;
  item.runs_by_action[sum.action] = (item.runs_by_action[sum.action] ?? 0) + sum.runs;
}

function byDay(a: UsageItem, b: UsageItem): number {
  return (a.day ?? '') < (b.day ?? '') ? -1 : 1;
}

function byTokens(a: UsageItem, b: UsageItem): number {
  return b.input_tokens + b.output_tokens - a.input_tokens - a.output_tokens;
}

function dayOf(time: number): string {
  return new Date(time).toISOString().slice(0, 10);
}
