import type { Lab } from './lab.ts';

/** The goal of a figure relative to its yardstick. */
export type Goal =
  /** At least this many times better. */
  | { times: number }
  /** At most this many times worse. */
  | { within: number }
  /** At most this amount above the yardstick. */
  | { above: number }
  /** At most this amount. */
  | { atMost: number };

export type Unit = 'ms' | 's' | 'kB' | 'MB' | '/s' | 'count';

/** One line of the table: medians of interleaved runs. */
export type Figure = {
  what: string;
  unit: Unit;
  ours: number;
  yardstick?: { name: string; value: number };
  /** Undefined for a figure that is only informative. */
  goal?: Goal;
};

/** A benchmark, which measures one or more figures. */
export type Row = {
  name: string;
  title: string;
  /** Part of `--short`. */
  short?: true;
  /** Runs only when named. */
  onlyByName?: true;
  measure(lab: Lab): Promise<Figure[]>;
};

/** Returns how many times better than the yardstick a figure is; higher is better for `/s`, lower for other units. */
export function ratioOf({ unit, ours, yardstick }: Figure): number | undefined {
  if (yardstick === undefined) return undefined;
  return unit === '/s' ? ours / yardstick.value : yardstick.value / ours;
}

/** Returns whether the goal is a ratio. Absolute times also depend on the machine. */
export function hasRatioGoal({ goal }: Figure): boolean {
  return goal !== undefined && ('times' in goal || 'within' in goal);
}

/** Returns 1 when the figure just meets its goal, 2 when it is twice as good, and 1 without a goal. */
export function scoreOf(figure: Figure): number {
  const { ours, yardstick, goal } = figure;
  const ratio = ratioOf(figure) ?? 1;
  if (goal === undefined) return 1;
  if ('times' in goal) return ratio / goal.times;
  if ('within' in goal) return ratio * goal.within;
  if ('above' in goal) return goal.above / Math.max(ours - (yardstick?.value ?? 0), goal.above / 100);
  return goal.atMost / ours;
}
