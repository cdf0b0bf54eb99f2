import type { Run } from '../../schemas/run.ts';
import { AppError, toAppError } from '../errors/app-error.ts';
import { FencedError } from '../store/runs.ts';
import type { RunRow } from '../store/schema.ts';
import type { EngineContext } from './engine-context.ts';
import { terminalChange } from './outcomes.ts';
import type { AttemptDeps } from './run-context.ts';

/** Implements `RunEngine.cancel`. */
export async function cancelRun(context: EngineContext, runId: string): Promise<Run> {
  const { store, dispatcher, queries } = context;
  for (;;) {
    const row = await queries.row(runId);
    if (row.finished_at !== null) throw new AppError('run_finished', `Run ${runId} has finished: ${row.state}.`);
    const attempt = dispatcher.attemptOf(runId);
    if (attempt?.finalizing === false) {
      // Aborts before it persists the request: the run itself may be what fills the disk.
      attempt.controller.abort(canceled());
      if (await store.runs.recordCancelRequest(runId)) return queries.view(row);
      const finished = await queries.get(runId);
      if (finished.state === 'canceled') return finished;
    } else if (attempt !== undefined) {
      // Its outcome is being persisted. If that requeues the run, it is canceled in the queue.
      await attempt.done;
    } else {
      try {
        await failRun(context, row, canceled());
        return await queries.get(runId);
      } catch (error) {
        // The dispatcher claimed the run after it was read.
        if (!(error instanceof FencedError)) throw error;
      }
    }
  }
}

/** Implements `RunEngine.cancelTicket`. */
export async function cancelRunsOfTicket(context: EngineContext, ticketId: string): Promise<void> {
  for (const { run_id } of await context.store.runs.listOpen(ticketId)) {
    await cancelRun(context, run_id).catch((error) => {
      if (toAppError(error).code !== 'run_finished') throw error;
    });
    await context.dispatcher.attemptOf(run_id)?.done;
  }
}

/**
 * Finishes a run that has no running attempt.
 * @throws FencedError when the run was claimed or finished since it was read
 */
export async function failRun({ log, hidePaths }: AttemptDeps, row: RunRow, error: AppError): Promise<void> {
  const run = { action: row.action, progress: JSON.parse(row.progress), usage: JSON.parse(row.usage) };
  const { event, patch } = terminalChange({ error }, run, row.duration_ms, hidePaths);
  await log.append(row.run_id, row.attempt, [event], patch);
}

export function canceled(): AppError {
  return new AppError('canceled', 'A client canceled the run.');
}
