/** How long requests are counted together. */
export const WINDOW_SECONDS = 60;

/** How many are counted at once; then those whose window began first are forgotten. */
const MOST = 5000;

/** What a window holds so far. */
export type Rate = { max: number; remaining: number; exceeded: boolean; secondsLeft: number };

type Window = { begun: number; requests: number };

/**
 * Counts requests in windows of a minute that begin with the first of each who sends some.
 * @param max how many a window allows
 */
export function createRateCounter(max: number) {
  /** In the order in which they began. */
  const windows = new Map<string, Window>();

  function open(who: string, now: number): Window | undefined {
    const window = windows.get(who);
    return window !== undefined && now - window.begun < WINDOW_SECONDS * 1000 ? window : undefined;
  }

  function begin(who: string, now: number): Window {
    const window = { begun: now, requests: 0 };
    windows.delete(who);
    for (const oldest of windows.keys()) {
      if (windows.size < MOST) break;
      windows.delete(oldest);
    }
    windows.set(who, window);
    return window;
  }

  function rateOf({ begun, requests }: Window, now: number): Rate {
    return {
      max,
      remaining: Math.max(0, max - requests),
      exceeded: requests > max,
      secondsLeft: Math.ceil((begun - now) / 1000) + WINDOW_SECONDS,
    };
  }

  return {
    count(who: string): Rate {
      const now = performance.now();
      const window = open(who, now) ?? begin(who, now);
      window.requests++;
      return rateOf(window, now);
    },

    /** The same without counting. */
    look(who: string): Rate {
      const now = performance.now();
      return rateOf(open(who, now) ?? { begun: now, requests: 0 }, now);
    },
  };
}
