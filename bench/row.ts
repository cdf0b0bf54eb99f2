import type { Lab } from './lab.ts';

/** What a figure is to reach, beside its yardstick. */
export type Reach =
  /** So many times better than the yardstick. */
  | { times: number }
  /** At most so many times as bad as the yardstick. */
  | { within: number }
  /** At most so much above the yardstick. */
  | { above: number }
  /** At most so much. */
  | { atMost: number };

export type Unit = 'ms' | 's' | 'kB' | 'MB' | '/s' | 'count';

/** One line of the table: medians of interleaved runs. */
export type Figure = {
  what: string;
  unit: Unit;
  ours: number;
  yardstick?: { name: string; value: number };
  /** Nothing is to be reached: told for the reader. */
  reach?: Reach;
};

/** One thing that is measured, with all that belongs to it. */
export type Row = {
  name: string;
  title: string;
  /** Part of `--short`. */
  short?: true;
  /** Only when it is named. */
  byName?: true;
  measure(lab: Lab): Promise<Figure[]>;
};

/** How many times better than the yardstick, by the unit's own direction. */
export function ratioOf({ unit, ours, yardstick }: Figure): number | undefined {
  if (yardstick === undefined) return undefined;
  return unit === '/s' ? ours / yardstick.value : yardstick.value / ours;
}

/** Whether what is to be reached is a ratio: times alone say as much of the machine. */
export function isRatio({ reach }: Figure): boolean {
  return reach !== undefined && ('times' in reach || 'within' in reach);
}

/** 1 when the figure just reaches what it is to reach, 2 when it is twice as good; without a reach always 1. */
export function scoreOf(figure: Figure): number {
  const { ours, yardstick, reach } = figure;
  const ratio = ratioOf(figure) ?? 1;
  if (reach === undefined) return 1;
  if ('times' in reach) return ratio / reach.times;
  if ('within' in reach) return ratio * reach.within;
  if ('above' in reach) return reach.above / Math.max(ours - (yardstick?.value ?? 0), reach.above / 100);
  return reach.atMost / ours;
}
