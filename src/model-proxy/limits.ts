/** From here on, a limit is near: the agent is asked to come to an end. */
const NEAR = 0.9;

/** What a run may use of something, what of that it used before this turn, and who says so. */
export type Limit = {
  /** Setting, or field of the request. */
  setting: string;
  unit: 'tokens' | 'turns' | 'seconds';
  limit: number;
  used: number;
};

export type LimitWatch = ReturnType<typeof watchLimits>;

/** Keeps account of the limits of one turn. A turn of the limit `turns` is a call of the model, as in ACP's `max_turn_requests`. */
export function watchLimits(limits: readonly Limit[]) {
  const begun = performance.now();
  const used = { tokens: 0, turns: 0 };
  let lastCall = 0;

  function spent({ unit, used: before }: Limit): number {
    return before + (unit === 'seconds' ? (performance.now() - begun) / 1000 : used[unit]);
  }

  /** A call costs about what the one before it did; a run with few turns gets at least its last one to come to an end. */
  function isNear(limit: Limit): boolean {
    if (limit.unit === 'turns') return spent(limit) >= Math.floor(NEAR * limit.limit);
    return spent(limit) + (limit.unit === 'tokens' ? lastCall : 0) >= NEAR * limit.limit;
  }

  return {
    /** Whether calls have to wait for each other: each is let through by what those before it have used. */
    counted: limits.some(({ unit }) => unit !== 'seconds'),

    addTurn(): void {
      used.turns += 1;
    },

    addTokens(tokens: number): void {
      used.tokens += tokens;
      lastCall = tokens;
    },

    /** A limit that leaves no room for one more call. The time has a clock of its own, which also ends what hangs. */
    spent(): string | undefined {
      const over = limits.find((limit) => limit.unit !== 'seconds' && spent(limit) >= limit.limit);
      return over && `${told(over, spent(over))}; ${over.setting} allows ${over.limit}.`;
    },

    near(): { setting: string; detail: string } | undefined {
      const limit = limits.find(isNear);
      return limit && { setting: limit.setting, detail: `${told(limit, spent(limit))} of ${limit.limit}` };
    },

    /** Seconds until the run ends, as far as a limit says. */
    secondsLeft(): number {
      const left = limits.flatMap((limit) => (limit.unit === 'seconds' ? [limit.limit - spent(limit)] : []));
      return Math.min(...left);
    },
  };
}

const WORDS = { tokens: 'tokens are used', turns: 'turns are used', seconds: 'seconds are over' };

function told({ unit }: Limit, amount: number): string {
  return `${Math.floor(amount)} ${WORDS[unit]}`;
}
