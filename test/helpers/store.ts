import { join } from 'node:path';
import SQLite from 'better-sqlite3';
import type { World } from './server.ts';

/** Opens the store of a stopped server for a task. */
export function inStore<T>(world: Pick<World, 'dir'>, task: (store: SQLite.Database) => T): T {
  const store = new SQLite(join(world.dir, 'data', 'pullwright.db'));
  try {
    return task(store);
  } finally {
    store.close();
  }
}

/**
 * Sets the times of runs and tickets to some days ago. The server must be stopped.
 * @param tickets a pattern of SQL LIKE for ticket ids
 */
export function backdate(world: Pick<World, 'dir'>, days: number, tickets = '%'): void {
  const time = daysAgo(days);
  inStore(world, (store) => {
    store.prepare('update runs set finished_at = ? where ticket_id like ?').run(time, tickets);
    store.prepare('update tickets set updated_at = ? where ticket_id like ?').run(time, tickets);
  });
}

export function daysAgo(days: number): string {
  return new Date(Date.now() - days * 86_400_000).toISOString();
}
