import { AppError, toAppError } from '../errors/app-error.ts';
import type { ActionDeps, RunContext } from './run-context.ts';
import type { Progress } from './run-writer.ts';

/** After these, what was canceled or cut short by a stop is only said: it must be quick. */
const NO_CHECKPOINT: ReadonlySet<string> = new Set(['canceled', 'interrupted']);

/**
 * Carries out work of an agent that may write. When it cannot be brought to its end, what is in the workspace is kept as a
 * checkpoint too, so that it outlasts whatever becomes of the workspace.
 */
export async function keepingWork<T>(deps: ActionDeps, context: RunContext, work: () => Promise<T>): Promise<T> {
  const { writer, signal } = context;
  try {
    return await work();
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
    // What ended the run already does not end this.
    const options = signal.aborted ? {} : { signal };
    const made = await deps.workspaces.checkpoint(run.ticket_id, run.run_id, options);
    if (made === undefined) return undefined;
    return `The work so far is kept in the workspace, and as ${made.ref} (${made.sha.slice(0, 12)}). The next dev goes on from there.`;
  } catch (error) {
    // The error of the run is the one to tell.
    const words = error instanceof AppError ? error.message : 'an unexpected error';
    return `The work so far is kept in the workspace; it could not be kept as a checkpoint: ${words}`;
  }
}

/**
 * Why work that is not committed lies in the workspace, when an earlier run of the ticket left it there.
 * @returns the title of that run's error in lower case; undefined when there is no such work
 */
export async function unfinishedReason(deps: ActionDeps, { run, signal }: RunContext): Promise<string | undefined> {
  const { ticket_id: ticketId } = run;
  const ended = await deps.store.runs.recentFinished(ticketId, 20);
  const last = ended.findLast(({ action }) => action === 'dev');
  if (last === undefined || last.error === null) return undefined;
  const { commit }: Progress = JSON.parse(last.progress);
  const { dirty } = await deps.workspaces.status(ticketId, { signal });
  if (commit !== undefined || !dirty) return undefined;
  const { title }: { title: string } = JSON.parse(last.error);
  return title.charAt(0).toLowerCase() + title.slice(1);
}
