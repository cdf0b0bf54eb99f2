import type { Action } from '../../schemas/run.ts';
import type { Store } from '../store/open-store.ts';
import type { RunRow } from '../store/schema.ts';
import type { Place } from './run-view.ts';

/** How many runs an estimate is made from. */
const RECENT = 50;

/**
 * How long a place in the queue means waiting: as many of the recent runs of the action as are ahead, as many at once as
 * may be.
 */
export function createWaiting(store: Pick<Store, 'runs'>, config: { MAX_CONCURRENT_RUNS: number }) {
  /** Gives the wait at a position, 1 being next, in seconds; `null` while no run of the action has ended. */
  async function waitOf(action: Action): Promise<(position: number) => number | null> {
    const typical = median(await store.runs.recentDurations(action, RECENT));
    return (position) => (typical === undefined ? null : Math.ceil((typical * position) / config.MAX_CONCURRENT_RUNS));
  }

  return {
    waitOf,

    /** Where each of these runs stands, those that are not queued left out; all at once. */
    async placesOf(rows: readonly RunRow[]): Promise<Map<string, Place>> {
      const queued = rows.filter((row) => row.state === 'queued');
      const places = new Map<string, Place>();
      if (queued.length === 0) return places;
      const positions = await store.runs.queuePositions();
      const actions = [...new Set(queued.map((row) => row.action))];
      const waits = new Map(await Promise.all(actions.map(async (action) => [action, await waitOf(action)] as const)));
      for (const { run_id, action } of queued) {
        // One that was taken since the rows were read is next.
        const queue_position = positions.get(run_id) ?? 1;
        places.set(run_id, { queue_position, estimated_wait_s: waits.get(action)?.(queue_position) ?? null });
      }
      return places;
    },
  };
}

function median(values: readonly number[]): number | undefined {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}
