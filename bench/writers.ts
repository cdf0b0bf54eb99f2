// Writes events of many concurrent runs through the event log, as fast as possible; prints events per second.
// Arguments: DATA_DIR, runs, events per run.
import { createEventLog } from '../src/events/event-log.ts';
import { createRedactor } from '../src/redaction/redactor.ts';
import { createRunWriter } from '../src/runs/run-writer.ts';
import { openStore } from '../src/store/open-store.ts';

const [directory = '', runs = '', events = ''] = process.argv.slice(2);
const BURST = 20;
const store = await openStore(directory);
const log = createEventLog(store, createRedactor(['ghp_bench0123456789abcdefghijklmnopqrstu']));
const rows = [];
for (let index = 1; index <= Number(runs); index++) {
  const ticketId = `T-${index}`;
  const row = { ticketId, action: 'chat' as const, agent: 'bench', keyId: 'bench' };
  await store.runs.enqueue({ ...row, maxQueued: 1e6, maxOpenPerKey: 1e6, estimateWait: () => null });
}
for (let row = await store.runs.claim(); row !== undefined; row = await store.runs.claim()) rows.push(row);
const title = 'x'.repeat(100);
const startedAt = performance.now();
await Promise.all(
  rows.map(async (row) => {
    const writer = createRunWriter({ log, config: { MAX_RUN_OUTPUT_MB: 100_000 } }, row, 0, (error) => {
      throw error;
    });
    for (let sent = 0; sent < Number(events); sent += BURST) {
      for (let index = 0; index < BURST; index++) {
        writer.emit({ type: 'tool.updated', data: { tool_call_id: 'tool-1', title } });
      }
      await writer.save();
    }
  }),
);
console.log(Math.round((rows.length * Number(events)) / ((performance.now() - startedAt) / 1000)));
await store.close();
