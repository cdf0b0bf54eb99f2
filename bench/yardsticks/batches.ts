// Inserts event-like rows in transactions of 100 with better-sqlite3 alone; prints rows per second.
// Arguments: folder, rows.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import SQLite from 'better-sqlite3';

const [directory = '', rows = ''] = process.argv.slice(2);
const BATCH = 100;
mkdirSync(directory, { recursive: true });
const db = new SQLite(join(directory, 'batches.db'));
db.pragma('journal_mode = WAL');
db.pragma('synchronous = FULL');
db.exec('create table events (run_id text, seq integer, time text, type text, data text, primary key (run_id, seq))');
const insert = db.prepare('insert into events (run_id, seq, time, type, data) values (?, ?, ?, ?, ?)');
const data = JSON.stringify({ tool_call_id: 'tool-1', title: 'x'.repeat(100) });
const batch = db.transaction((from: number) => {
  for (let seq = from; seq < from + BATCH; seq++) {
    insert.run('019b0000-0000-7000-8000-000000000001', seq, new Date().toISOString(), 'tool.updated', data);
  }
});
const startedAt = performance.now();
for (let from = 0; from < Number(rows); from += BATCH) batch(from);
console.log(Math.round(Number(rows) / ((performance.now() - startedAt) / 1000)));
db.close();
