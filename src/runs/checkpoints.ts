import { AppError, toAppError } from '../errors/app-error.ts';
import type { ActionDeps, RunContext } from './run-context.ts';
import type { Progress } from './run-writer.ts';

/** Errors after which the run must finish quickly, without a checkpoint. */
const NO_CHECKPOINT: ReadonlySet<string> = new Set(['canceled', 'interrupted']);

/** Runs an agent task that writes files. If it fails, saves the workspace as a checkpoint, which outlives the workspace. */
export async function withCheckpoint<T>(deps: ActionDeps, context: RunContext, task: () => Promise<T>): Promise<T> {
  const { writer, signal } = context;
  try {
    return await task();
  } catch (error) {
    const reason = toAppError(signal.aborted ? signal.reason : error);
    if (!NO_CHECKPOINT.has(reason.code)) {
      const text = await saveCheckpoint(deps, context);
      if (text !== undefined) writer.emit({ type: 'log', data: { level: 'warn', text } });
    }
    throw error;
  }
}

async function saveCheckpoint(deps: ActionDeps, { run, signal }: RunContext): Promise<string | undefined> {
  try {
    // An aborted signal finished the run; it must not abort the checkpoint too.
    const options = signal.aborted ? {} : { signal };
    const saved = await deps.workspaces.checkpoint(run.ticket_id, run.run_id, options);
    if (saved === undefined) return undefined;
    return `The work so far is kept in the workspace, and as ${saved.ref} (${saved.sha.slice(0, 12)}). The next dev continues from there.`;
  } catch (error) {
    // Only logged: the error of the run is the one to report.
    const detail = error instanceof AppError ? error.message : 'an unexpected error';
    return `The work so far is kept in the workspace, but the checkpoint failed: ${detail}`;
  }
}

/**
 * Explains uncommitted work that an earlier run left in the workspace.
 * @returns the title of that run's error in lower case; undefined when there is no such work
 */
export async function leftoverReason(deps: ActionDeps, { run, signal }: RunContext): Promise<string | undefined> {
  const { ticket_id: ticketId } = run;
  const earlier = await deps.store.runs.recentFinished(ticketId, 20);
  const last = earlier.findLast(({ action }) => action === 'dev');
  if (last === undefined || last.error === null) return undefined;
  const { commit }: Progress = JSON.parse(last.progress);
  const { dirty } = await deps.workspaces.status(ticketId, { signal });
  if (commit !== undefined || !dirty) return undefined;
  const { title }: { title: string } = JSON.parse(last.error);
  return title.charAt(0).toLowerCase() + title.slice(1);
}
