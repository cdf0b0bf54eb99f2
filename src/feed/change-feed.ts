import type { Logger } from '../config/logger.ts';
import type { Source } from '../events/cursor.ts';
import type { Watcher } from '../events/event-log.ts';
import { type Caller, canAccess } from '../keys/caller.ts';
import type { Redactor } from '../redaction/redactor.ts';
import type { RunEngine } from '../runs/run-engine.ts';
import type { Change } from '../store/change-notifier.ts';
import type { Store } from '../store/open-store.ts';
import type { Tickets } from '../tickets/tickets.ts';
import { addChange, type Batch, emptyBatch, readBatch } from './batch.ts';
import { createFrameBuffer, type Entry } from './frame-buffer.ts';

/** Time in which changes of one ticket or run are coalesced. */
const COALESCE_MS = 50;

export type ChangeFeed = ReturnType<typeof createChangeFeed>;

type Deps = {
  store: Pick<Store, 'changes' | 'feed'>;
  tickets: Pick<Tickets, 'views'>;
  runs: Pick<RunEngine, 'views'>;
  redactor: Redactor;
  logger: Logger;
};

/**
 * Creates the change feed: a snapshot of all tickets and runs, then their changes. An entry holds the state that was reached, so
 * several changes in a short time become one entry. A reader that cannot resume gets a new snapshot: it is too far behind,
 * or its position is of an earlier process.
 */
export function createChangeFeed(deps: Deps) {
  const { store, runs, redactor, logger } = deps;
  const buffer = createFrameBuffer(redactor);
  const watchers = new Set<Watcher>();
  let batch = emptyBatch();
  let timer: NodeJS.Timeout | undefined;
  let publishing = Promise.resolve();
  /** Snapshots since the last batch, by the repositories of their readers. */
  const snapshots = new Map<string, Promise<Entry>>();
  const unwatch = store.changes.watch(collect);

  function collect(change: Change): void {
    if (!addChange(batch, change)) return;
    timer ??= setTimeout(() => {
      timer = undefined;
      const collected = batch;
      batch = emptyBatch();
      publishing = publishing.then(() => publish(collected));
    }, COALESCE_MS);
  }

  async function publish(collected: Batch): Promise<void> {
    try {
      for (const { repoUrl, type, data } of await readBatch(deps, collected)) buffer.append(repoUrl, type, data);
    } catch (error) {
      logger.error({ err: error }, 'change feed batch failed');
      buffer.clear();
    }
    snapshots.clear();
    for (const watcher of watchers) watcher.wake();
  }

  async function takeSnapshot(repositories: readonly string[] | undefined): Promise<Entry> {
    // Before the reads: a change meanwhile follows as an entry.
    const position = buffer.newest();
    const open = await runs.views(await store.feed.openRuns(repositories));
    const counts = await store.feed.counts(repositories);
    const queued = open.filter(({ state }) => state === 'queued').length;
    const queue = { queued, running: open.length - queued };
    return { position, frame: buffer.format(position, 'snapshot', { runs: open, queue, counts }) };
  }

  function snapshot(repositories: readonly string[] | undefined): Promise<Entry> {
    const key = JSON.stringify(repositories ?? null);
    const taken = snapshots.get(key) ?? takeSnapshot(repositories);
    snapshots.set(key, taken);
    taken.catch(() => snapshots.delete(key));
    return taken;
  }

  return {
    /** @param lastId id of the last frame that the reader has */
    source(caller: Caller, lastId: string | undefined): Source<Entry> {
      let current = buffer.positionOf(lastId);
      return {
        opening: 'retry: 1000\n\n',
        watch(watcher) {
          watchers.add(watcher);
          return () => watchers.delete(watcher);
        },
        async read(limit) {
          const entries = current === undefined ? undefined : buffer.read(current, limit);
          return entries ?? [await snapshot(caller.repositories)];
        },
        take({ position, repoUrl, frame }) {
          current = position;
          return { frame: repoUrl === undefined || canAccess(caller, repoUrl) ? frame : '' };
        },
      };
    },

    /** Stops following changes; resolves when the last batch is published. */
    async close(): Promise<void> {
      unwatch();
      clearTimeout(timer);
      await publishing;
    },
  };
}
