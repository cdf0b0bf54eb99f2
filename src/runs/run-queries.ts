import type { Run, RunState } from '../../schemas/run.ts';
import { AppError } from '../errors/app-error.ts';
import type { RunStore } from '../store/runs.ts';
import type { RunRow } from '../store/schema.ts';
import type { QueueEstimates } from './queue-estimates.ts';
import { toRun } from './run-view.ts';

export type RunQueries = ReturnType<typeof createRunQueries>;

type RunPage = {
  ticketId?: string;
  cursor?: string;
  limit: number;
  state?: RunState;
  /** Repositories of the runs, as `HOST/OWNER/NAME` or `HOST/OWNER/*` in lower case; all if undefined. */
  repositories?: readonly string[] | undefined;
};

/** Creates the reads of runs. */
export function createRunQueries(store: RunStore, estimates: QueueEstimates) {
  /** @throws AppError `run_not_found` */
  async function row(runId: string): Promise<RunRow> {
    const found = await store.get(runId);
    if (found === undefined) throw new AppError('run_not_found', `There is no run ${runId}.`);
    return found;
  }

  /** Converts stored runs to the views that clients see. */
  async function views(rows: readonly RunRow[]): Promise<Run[]> {
    const positions = await estimates.positionsOf(rows);
    return rows.map((each) => toRun(each, positions.get(each.run_id)));
  }

  async function view(found: RunRow): Promise<Run> {
    return toRun(found, (await estimates.positionsOf([found])).get(found.run_id));
  }

  return {
    row,
    view,
    views,

    /** @throws AppError `run_not_found` */
    get: async (runId: string): Promise<Run> => view(await row(runId)),

    /** Returns a page, newest first. */
    async list(query: RunPage) {
      const page = await store.list(query);
      return { items: await views(page.items), next_cursor: page.nextCursor };
    },
  };
}
