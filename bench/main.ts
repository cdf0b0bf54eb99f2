import { parseArgs } from 'node:util';
import { type Lab, makeLab } from './lab.ts';
import { describeMachine } from './machine.ts';
import type { Row } from './row.ts';
import { hasRatioGoal, scoreOf } from './row.ts';
import { agentServers } from './rows/agent-servers.ts';
import { deliveries } from './rows/deliveries.ts';
import { durable } from './rows/durable.ts';
import { firstWord } from './rows/first-word.ts';
import { getDiff } from './rows/get-diff.ts';
import { getTicket } from './rows/get-ticket.ts';
import { growth } from './rows/growth.ts';
import { relay } from './rows/relay.ts';
import { start } from './rows/start.ts';
import { streams } from './rows/streams.ts';
import { tickets } from './rows/tickets.ts';
import { linesOf, type Measured, tableOf, writeTable } from './table.ts';

/** In the order of the table. */
const ROWS: readonly Row[] = [
  firstWord,
  agentServers,
  tickets,
  relay,
  deliveries,
  streams,
  durable,
  getTicket,
  getDiff,
  start,
  growth,
];

/** A row below its goal is measured again before it counts as failed. */
const MAX_REMEASUREMENTS = 2;

const USAGE = `npm run bench -- [ROW ...] [--short] [--write] [--check] [--profile FOLDER]

  --short    runs fewer rounds and skips the rows that take minutes
  --write    writes the figures to docs/performance.md
  --check    fails when a ratio is less than half of its goal
  --profile  writes CPU profiles of the servers to FOLDER, for Chrome or an editor

Rows: ${ROWS.map(({ name }) => name).join(', ')}.
${ROWS.filter(({ onlyByName }) => onlyByName).map(({ name }) => name)} runs only when named, because it installs 0.9 GB.`;

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    help: { type: 'boolean', default: false },
    short: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    check: { type: 'boolean', default: false },
    profile: { type: 'string' },
  },
});
const unknown = positionals.find((name) => !ROWS.some((row) => row.name === name));
if (options.help || unknown !== undefined) {
  console.log(unknown === undefined ? USAGE : `Unknown row: ${unknown}.\n\n${USAGE}`);
  process.exit(unknown === undefined ? 0 : 1);
}

const selected = ROWS.filter(({ name, short, onlyByName }) =>
  positionals.length > 0 ? positionals.includes(name) : options.short ? short : !onlyByName,
);
let open: Lab | undefined;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void open?.close().finally(() => process.exit(1)));
}
const measured: Measured[] = [];
const failures: string[] = [];
console.log(`${describeMachine()}\n`);
for (const row of selected) {
  try {
    let result = await measure(row);
    // Other load on a shared machine may slow down one side only.
    for (let again = 0; options.check && again < MAX_REMEASUREMENTS && missedGoals(result).length > 0; again++) {
      console.log(`${row.name}: measuring again`);
      result = await measure(row);
    }
    measured.push(result);
    if (options.check) failures.push(...missedGoals(result));
  } catch (error) {
    failures.push(`${row.name}: ${error instanceof Error ? error.message : error}`);
    console.log(`${row.name} could not be measured: ${error instanceof Error ? error.stack : error}`);
  }
}
console.log(`\n${tableOf(measured)}`);
if (options.write) await writeTable(measured);
for (const failure of failures) console.error(failure);
process.exitCode = failures.length > 0 ? 1 : 0;

async function measure(row: Row): Promise<Measured> {
  const lab = await makeLab(options);
  open = lab;
  try {
    const result = { row, figures: await row.measure(lab) };
    for (const line of linesOf(result)) console.log(line);
    return result;
  } finally {
    await lab.close();
  }
}

/** Lists ratios below half of their goal. */
function missedGoals({ row, figures }: Measured): string[] {
  return figures
    .filter((figure) => hasRatioGoal(figure) && scoreOf(figure) < 0.5)
    .map((figure) => `${row.name}, ${figure.what}: less than half of its goal`);
}
