import type { Kysely, Updateable } from 'kysely';
import type { EventDraft, RunEvent } from '../../schemas/event.ts';
import type { Usage } from '../../schemas/run.ts';
import type { ChangeNotifier } from './change-notifier.ts';
import { type Enqueued, enqueue, type NewRun } from './enqueue.ts';
import { insertEvents } from './events.ts';
import type { GroupCommit, Write } from './group-commit.ts';
import { recordPermissions } from './permissions.ts';
import { claimNext } from './queue.ts';
import { createRunHistory } from './run-history.ts';
import { createRunQueries } from './run-queries.ts';
import { TERMINAL_STATES } from './run-states.ts';
import type { Database, RunRow, RunTable } from './schema.ts';

export type RunStore = ReturnType<typeof createRunStore>;

/** The columns that a writer can change together with the events of its run. */
export type RunPatch = Pick<
  Updateable<RunTable>,
  'state' | 'session_id' | 'plan_version' | 'progress' | 'usage' | 'result' | 'error' | 'finished_at' | 'duration_ms'
>;

/** A newer attempt claimed the run, or the run has finished: the writer must stop. */
export class FencedError extends Error {
  override readonly name = 'FencedError';
}

/** Stores runs: the reads of run-queries.ts and run-history.ts, and the writes. */
export function createRunStore(db: Kysely<Database>, commit: GroupCommit, { notify }: ChangeNotifier) {
  return {
    ...createRunQueries(db),
    ...createRunHistory(db),

    /**
     * Adds a run to the queue, with its first event. Returns an earlier run of the same idempotency record unchanged.
     * @throws AppError `queue_full`, `too_many_runs`; `ticket_busy` or `ticket_not_found` when the ticket is not ready
     */
    enqueue: (run: NewRun): Promise<Enqueued> =>
      commit(
        (trx) => enqueue(trx, run),
        ({ row }) => notify({ type: 'run', runId: row.run_id, events: [] }),
      ),

    /**
     * Claims the first queued run, in the order of queue.ts, whose ticket has no active run, and appends `run.started`. The
     * attempt number of the returned row is the fence of all its writes.
     */
    async claim(): Promise<RunRow | undefined> {
      const claimed = await commit(claimNext, (next) => {
        if (next !== undefined) notify({ type: 'run', runId: next.row.run_id, events: next.events });
      });
      return claimed?.row;
    },

    /**
     * Appends events to a run and updates the run in the same transaction.
     * @param fence attempt of the writer
     * @throws FencedError when another attempt has taken over, or the run has finished
     */
    append(runId: string, fence: number, drafts: readonly EventDraft[], patch: RunPatch = {}): Promise<RunEvent[]> {
      return commit(appendTo(runId, fence, drafts, patch), (events) => notify({ type: 'run', runId, events }));
    },

    /**
     * Records that the run is to be canceled, whatever happens to its attempt.
     * @returns false when the run has finished
     */
    async recordCancelRequest(runId: string): Promise<boolean> {
      const recorded = await commit((trx) =>
        trx
          .updateTable('runs')
          .set({ cancel_requested_at: new Date().toISOString() })
          .where('run_id', '=', runId)
          .where('state', 'not in', TERMINAL_STATES)
          .returning('run_id')
          .executeTakeFirst(),
      );
      return recorded !== undefined;
    },
  };
}

function appendTo(runId: string, fence: number, drafts: readonly EventDraft[], patch: RunPatch): Write<RunEvent[]> {
  return async (trx) => {
    const row = await trx
      .updateTable('runs')
      .set((eb) => ({ ...patch, ...tokensOf(patch.usage), last_seq: eb('last_seq', '+', drafts.length) }))
      .where('run_id', '=', runId)
      .where('attempt', '=', fence)
      .where('state', 'not in', TERMINAL_STATES)
      .returning('last_seq')
      .executeTakeFirst();
    if (row === undefined) throw new FencedError(`attempt ${fence} of run ${runId} can no longer write`);
    const time = new Date().toISOString();
    await recordPermissions(trx, { runId, attempt: fence, time }, drafts);
    return insertEvents(trx, runId, row.last_seq - drafts.length + 1, time, drafts);
  };
}

/** Returns the columns that sums are made of. */
function tokensOf(usage: string | undefined): Partial<Usage> {
  if (usage === undefined) return {};
  const { input_tokens, output_tokens, cached_tokens }: Usage = JSON.parse(usage);
  return { input_tokens, output_tokens, cached_tokens };
}
