import { readFile, writeFile } from 'node:fs/promises';
import { describeMachine } from './machine.ts';
import { type Figure, type Goal, type Row, ratioOf, scoreOf, type Unit } from './row.ts';

export type Measured = { row: Row; figures: Figure[] };

const FILE = new URL('../docs/performance.md', import.meta.url);
const HEAD = ['| what | ours | yardstick | ratio | goal | |', '| --- | ---: | ---: | ---: | ---: | --- |'];

/** Formats the figures of a row for the terminal. */
export function linesOf({ row, figures }: Measured): string[] {
  return figures.map((figure) => `${row.name}: ${cells(figure).join(' | ')}`);
}

/** Formats figures as a Markdown table. */
export function tableOf(all: readonly Measured[]): string {
  const lines = all.flatMap(({ row, figures }) =>
    figures.map((figure) => `| ${row.title}: ${cells(figure).join(' | ')} |`),
  );
  return [...HEAD, ...lines].join('\n');
}

/** Writes the figures to docs/performance.md. Rows that were not measured keep their lines. */
export async function writeTable(all: readonly Measured[]): Promise<void> {
  const text = await readFile(FILE, 'utf8');
  let next = text.replace(/(<!-- machine -->\n)[\s\S]*?(\n<!-- \/machine -->)/, `$1${describeMachine()}$2`);
  for (const measured of all) {
    const { name } = measured.row;
    const block = new RegExp(String.raw`(<!-- row ${name} -->\n)[\s\S]*?(<!-- /row -->)`);
    if (!block.test(next)) throw new Error(`docs/performance.md has no marker for the row ${name}`);
    next = next.replace(block, (_all, begin, end) => `${begin}\n${tableOf([measured])}\n\n${end}`);
  }
  await writeFile(FILE, next);
}

function cells(figure: Figure): string[] {
  const { what, unit, ours, yardstick, goal } = figure;
  const ratio = ratioOf(figure);
  return [
    what,
    amount(ours, unit),
    yardstick === undefined ? '' : `${amount(yardstick.value, unit)} (${yardstick.name})`,
    ratio === undefined ? '' : `${number(ratio)}x`,
    goal === undefined ? '' : goalText(goal, unit),
    goal === undefined ? '' : scoreOf(figure) >= 1 ? 'met' : '**not met**',
  ];
}

function goalText(goal: Goal, unit: Unit): string {
  if ('times' in goal) return `≥ ${goal.times}x`;
  if ('within' in goal) return `≥ ${number(1 / goal.within)}x`;
  if ('above' in goal) return `≤ ${amount(goal.above, unit)} above`;
  return `≤ ${amount(goal.atMost, unit)}`;
}

function amount(value: number, unit: Unit): string {
  if (unit === 'count') return number(value);
  return unit === '/s' ? `${number(value)}/s` : `${number(value)} ${unit}`;
}

/** Formats three significant digits. */
function number(value: number): string {
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US');
  return String(Number(value.toPrecision(3)));
}
