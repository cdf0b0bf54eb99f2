import type { Action } from '../../schemas/run.ts';
import type { RunStore } from '../store/runs.ts';
import type { RunRow } from '../store/schema.ts';
import type { QueuePosition } from './run-view.ts';

/** Number of finished runs from which a wait is estimated. */
const SAMPLE_SIZE = 50;

export type QueueEstimates = ReturnType<typeof createQueueEstimates>;

/** Estimates how long queued runs wait: the median duration of recent runs, times the position, over `maxConcurrent`. */
export function createQueueEstimates(
  runs: Pick<RunStore, 'recentDurations' | 'queuePositions'>,
  maxConcurrent: number,
) {
  /** Returns a function from position (1 is next) to seconds, or to null while no run of the action has finished. */
  async function estimatorOf(action: Action): Promise<(position: number) => number | null> {
    const typical = median(await runs.recentDurations(action, SAMPLE_SIZE));
    return (position) => (typical === undefined ? null : Math.ceil((typical * position) / maxConcurrent));
  }

  return {
    estimatorOf,

    /** Returns the positions of those rows that are queued, by run. */
    async positionsOf(rows: readonly RunRow[]): Promise<Map<string, QueuePosition>> {
      const queued = rows.filter((row) => row.state === 'queued');
      if (queued.length === 0) return new Map();
      const positions = await runs.queuePositions();
      const actions = [...new Set(queued.map((row) => row.action))];
      const waits = new Map(
        await Promise.all(actions.map(async (action) => [action, await estimatorOf(action)] as const)),
      );
      return new Map(
        queued.map(({ run_id, action }) => {
          // A run that was claimed since the rows were read has no position: it was next.
          const queue_position = positions.get(run_id) ?? 1;
          return [run_id, { queue_position, estimated_wait_s: waits.get(action)?.(queue_position) ?? null }];
        }),
      );
    },
  };
}

function median(values: readonly number[]): number | undefined {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}
