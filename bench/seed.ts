import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import SQLite from 'better-sqlite3';
import { openStore } from '../src/store/open-store.ts';

/**
 * Fills a store before a server starts on it, as after long use: tickets `T-1` … with one finished run of ten events each.
 * @param size number of tickets, and number and bytes of the events in the first ticket's run
 * @returns the id of the first ticket's run
 */
export async function seed(
  directory: string,
  size: { tickets: number; events: number; bytes: number },
): Promise<string> {
  await mkdir(directory, { recursive: true });
  await (await openStore(directory)).close();
  const db = new SQLite(join(directory, 'pullwright.db'));
  db.pragma('synchronous = OFF');
  const time = (index: number) => new Date(Date.UTC(2026, 0, 1) + index * 1000).toISOString();
  const ticket = db.prepare(
    `insert into tickets (ticket_key, ticket_id, repo_url, title, branch, base_branch, state, created_at, updated_at)
     values (?, ?, 'https://github.com/acme/duration', 'A title', ?, 'main', 'ready', ?, ?)`,
  );
  const run = db.prepare(
    `insert into runs (run_id, ticket_key, ticket_id, action, message, agent, state, attempt, last_seq, key_id, result,
     created_at, started_at, finished_at) values (?, ?, ?, 'chat', 'hello', 'gemini', 'succeeded', 1, ?, 'loopback', '{"text":""}', ?, ?, ?)`,
  );
  const event = db.prepare('insert into events (run_id, seq, time, type, data) values (?, ?, ?, ?, ?)');
  const text = JSON.stringify({ text: 'x'.repeat(size.bytes) });
  const ending = JSON.stringify({
    result: { text: '' },
    usage: { input_tokens: 0, output_tokens: 0, cached_tokens: 0 },
    duration_ms: 1,
  });
  db.transaction(() => {
    for (let index = 1; index <= size.tickets; index++) {
      const at = time(index);
      ticket.run(`t-${index}`, `T-${index}`, `ticket_T-${index}`, at, at);
      const events = index === 1 ? size.events : 10;
      run.run(runId(index), `t-${index}`, `T-${index}`, events, at, at, at);
      for (let seq = 1; seq < events; seq++)
        event.run(runId(index), seq, at, 'message.delta', index === 1 ? text : '{"text":"x"}');
      event.run(runId(index), events, at, 'run.succeeded', ending);
    }
  })();
  db.close();
  return runId(1);
}

function runId(index: number): string {
  return `019b0000-0000-7000-8000-${index.toString(16).padStart(12, '0')}`;
}
