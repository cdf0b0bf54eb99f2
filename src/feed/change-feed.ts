import { randomBytes } from 'node:crypto';
import type { RunEvent } from '../../schemas/event.ts';
import type { Logger } from '../config/logger.ts';
import type { Source } from '../events/cursor.ts';
import type { Watcher } from '../events/event-log.ts';
import { type Caller, sees } from '../keys/caller.ts';
import type { Redactor } from '../redaction/redactor.ts';
import type { RunEngine } from '../runs/run-engine.ts';
import type { Change } from '../store/change-notifier.ts';
import type { Store } from '../store/open-store.ts';
import { ticketKey } from '../store/tickets.ts';
import type { Tickets } from '../tickets/tickets.ts';

/** Changes within this time are told as one. */
const GATHER_MS = 50;

/** What the frames that are kept for readers may take, in characters. */
const KEPT = 8_000_000;

/** What of a run is told; what its agent says is in its own events. */
const TELLING = /^(?:run|permission)\./;

export type ChangeFeed = ReturnType<typeof createChangeFeed>;

/** A frame for all readers; without a repository it is for the one reader that asked. */
type Entry = { place: number; repoUrl?: string; frame: string };

type Gathered = {
  tickets: Map<string, 'ticket.created' | 'ticket.updated'>;
  removed: Map<string, { ticketId: string; repoUrl: string }>;
  runs: Set<string>;
  permissions: RunEvent[];
};

type Deps = {
  store: Pick<Store, 'changes' | 'overview'>;
  tickets: Pick<Tickets, 'views'>;
  runs: Pick<RunEngine, 'views'>;
  redactor: Redactor;
  logger: Logger;
};

/**
 * What happens to tickets and runs, for those who watch all of them: a snapshot, then changes. A change is told as the state
 * that was reached, so that many in a short time are one, and a reader that is too far behind, or comes from an earlier
 * process, is given a snapshot instead: that is always right.
 */
export function createChangeFeed({ store, tickets, runs: engine, redactor, logger }: Deps) {
  const epoch = randomBytes(6).toString('hex');
  const watchers = new Set<Watcher>();
  /** The newest entries, with places that follow one another up to `newest`. */
  const kept: Entry[] = [];
  let newest = 0;
  let size = 0;
  let gathered = nothing();
  let timer: NodeJS.Timeout | undefined;
  let telling = Promise.resolve();
  const snapshots = new Map<string, Promise<Entry>>();
  const unwatch = store.changes.watch(gather);

  function gather(change: Change): void {
    if (change.type === 'ticket') {
      const { ticketKey: key } = change;
      const isNew = change.created === true || gathered.tickets.get(key) === 'ticket.created';
      gathered.tickets.set(key, isNew ? 'ticket.created' : 'ticket.updated');
    } else if (change.type === 'ticket_removed') {
      gathered.removed.set(ticketKey(change.ticketId), change);
    } else {
      const events = change.events.filter(({ type }) => TELLING.test(type));
      if (change.events.length > 0 && events.length === 0) return;
      gathered.runs.add(change.runId);
      gathered.permissions.push(...events.filter(({ type }) => type.startsWith('permission.')));
    }
    timer ??= setTimeout(() => {
      timer = undefined;
      const batch = gathered;
      gathered = nothing();
      telling = telling.then(() => tell(batch));
    }, GATHER_MS);
  }

  async function tell(batch: Gathered): Promise<void> {
    try {
      for (const { repoUrl, type, data } of await look(batch)) keep(repoUrl, type, data);
    } catch (error) {
      logger.error({ err: error }, 'changes were not told');
      // Whoever reads is to look anew.
      kept.length = 0;
      size = 0;
      newest++;
    }
    snapshots.clear();
    for (const watcher of watchers) watcher.wake();
  }

  /** What became of the things that changed, as it is now. */
  async function look(batch: Gathered): Promise<{ repoUrl: string; type: string; data: object }[]> {
    const rows = await store.overview.tickets([...batch.tickets.keys()]);
    const views = await tickets.views(rows);
    const present = new Set(rows.map((row) => row.ticket_key));
    const runs = await store.overview.runs([...batch.runs]);
    const states = await engine.views(runs);
    const repositories = new Map(runs.map((run) => [run.run_id, run.repo_url]));
    return [
      ...[...batch.removed]
        .filter(([key]) => !present.has(key))
        .map(([, { ticketId, repoUrl }]) => ({ repoUrl, type: 'ticket.deleted', data: { ticket_id: ticketId } })),
      ...views.map((data) => ({
        repoUrl: data.repo_url,
        type: batch.tickets.get(ticketKey(data.ticket_id)) ?? 'ticket.updated',
        data,
      })),
      ...states.flatMap((data) => toldOf(data.run_id, 'run.state', data)),
      ...batch.permissions.flatMap((data) => toldOf(data.run_id, data.type, data)),
    ];

    function toldOf(runId: string, type: string, data: object) {
      const repoUrl = repositories.get(runId);
      return repoUrl === undefined ? [] : [{ repoUrl, type, data }];
    }
  }

  function keep(repoUrl: string, type: string, data: object): void {
    newest++;
    const frame = frameOf(newest, type, data);
    kept.push({ place: newest, repoUrl, frame });
    size += frame.length;
    while (size > KEPT) size -= kept.shift()?.frame.length ?? size;
  }

  /** How things are now; what happens while it looks comes after it as a change. */
  async function takeSnapshot(repositories: readonly string[] | undefined): Promise<Entry> {
    const place = newest;
    const runs = await engine.views(await store.overview.openRuns(repositories));
    const counts = await store.overview.counts(repositories);
    const queued = runs.filter(({ state }) => state === 'queued').length;
    const queue = { queued, running: runs.length - queued };
    return { place, frame: frameOf(place, 'snapshot', { runs, queue, counts }) };
  }

  function snapshot(repositories: readonly string[] | undefined): Promise<Entry> {
    const name = JSON.stringify(repositories ?? null);
    const taken = snapshots.get(name) ?? takeSnapshot(repositories);
    snapshots.set(name, taken);
    taken.catch(() => snapshots.delete(name));
    return taken;
  }

  function frameOf(place: number, type: string, data: object): string {
    return `id: ${epoch}-${place}\nevent: ${type}\ndata: ${JSON.stringify(redactor.value(data))}\n\n`;
  }

  /** The place that an id names, if what follows it is still kept. */
  function placeOf(id: string | undefined): number | undefined {
    const [, from, place] = /^([0-9a-f]{12})-(0|[1-9]\d{0,14})$/.exec(id ?? '') ?? [];
    return from === epoch ? Number(place) : undefined;
  }

  return {
    /** @param lastId id of the last frame that the reader has */
    source(caller: Caller, lastId: string | undefined): Source<Entry> {
      let position = placeOf(lastId);
      return {
        opening: 'retry: 1000\n\n',
        watch(watcher) {
          watchers.add(watcher);
          return () => watchers.delete(watcher);
        },
        async read(limit) {
          const before = newest - kept.length;
          if (position === undefined || position < before || position > newest) {
            return [await snapshot(caller.repositories)];
          }
          return kept.slice(position - before, position - before + limit);
        },
        take({ place, repoUrl, frame }) {
          position = place;
          return { frame: repoUrl === undefined || sees(caller, repoUrl) ? frame : '' };
        },
      };
    },

    /** Hears of no more changes; resolves when none is being looked at. */
    async close(): Promise<void> {
      unwatch();
      clearTimeout(timer);
      await telling;
    },
  };
}

function nothing(): Gathered {
  return { tickets: new Map(), removed: new Map(), runs: new Set(), permissions: [] };
}
