/** Share of a limit at which it counts as near: a hint then asks the agent to finish. */
const NEAR_SHARE = 0.9;

/** A limit on what a run uses of its model. */
export type Limit = {
  /** The setting, or the field of the request, that sets the limit. */
  setting: string;
  unit: 'tokens' | 'turns' | 'seconds';
  limit: number;
  /** Used before this turn. */
  used: number;
};

export type NearLimit = { setting: string; detail: string };

export type LimitTracker = ReturnType<typeof trackLimits>;

/** Tracks the limits of one turn. The unit `turns` counts model calls, as `max_turn_requests` of ACP does. */
export function trackLimits(limits: readonly Limit[]) {
  const startedAt = performance.now();
  const used = { tokens: 0, turns: 0 };
  let lastCallTokens = 0;

  function usedOf({ unit, used: before }: Limit): number {
    return before + (unit === 'seconds' ? (performance.now() - startedAt) / 1000 : used[unit]);
  }

  /** Assumes that the next call costs as much as the last one. A run with few turns keeps at least the last one to finish. */
  function isNear(limit: Limit): boolean {
    if (limit.unit === 'turns') return usedOf(limit) >= Math.floor(NEAR_SHARE * limit.limit);
    return usedOf(limit) + (limit.unit === 'tokens' ? lastCallTokens : 0) >= NEAR_SHARE * limit.limit;
  }

  return {
    /** Whether calls must run one at a time, because each is admitted by the use of the calls before it. */
    isSequential: limits.some(({ unit }) => unit !== 'seconds'),

    addTurn(): void {
      used.turns += 1;
    },

    addTokens(tokens: number): void {
      used.tokens += tokens;
      lastCallTokens = tokens;
    },

    /** Describes a limit that allows no further call. Excludes `seconds`: the timer of the run also aborts calls that hang. */
    reached(): string | undefined {
      const limit = limits.find((limit) => limit.unit !== 'seconds' && usedOf(limit) >= limit.limit);
      return limit && `${Math.floor(usedOf(limit))} ${USED[limit.unit]}; ${limit.setting} allows ${limit.limit}.`;
    },

    near(): NearLimit | undefined {
      const limit = limits.find(isNear);
      if (limit === undefined) return undefined;
      return { setting: limit.setting, detail: `${Math.floor(usedOf(limit))} of ${limit.limit} ${USED[limit.unit]}` };
    },

    /** Returns the seconds until the run times out; infinite without a limit. */
    secondsLeft(): number {
      const left = limits.flatMap((limit) => (limit.unit === 'seconds' ? [limit.limit - usedOf(limit)] : []));
      return Math.min(...left);
    },
  };
}

const USED = { tokens: 'tokens used', turns: 'turns used', seconds: 'seconds elapsed' } as const;
