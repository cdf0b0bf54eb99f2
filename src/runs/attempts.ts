import { createPathHider } from '../config/hide-paths.ts';
import type { Logger } from '../config/logger.ts';
import { AppError, toAppError } from '../errors/app-error.ts';
import type { EventLog } from '../events/event-log.ts';
import type { RunRow } from '../store/schema.ts';
import { actions } from './actions.ts';
import { beginAgain, ending, type Outcome } from './outcomes.ts';
import { untilWritten } from './retry-write.ts';
import type { ActionDeps } from './run-context.ts';
import { outOfTime, timeLimit } from './run-limits.ts';
import { createRunWriter } from './run-writer.ts';

const NO_SANDBOX = 'SANDBOX=none: the agent runs without walls, with all that the server may do on this machine.';

/** One attempt at a run, from when it was claimed. */
export type Attempt = {
  row: RunRow;
  controller: AbortController;
  /** What becomes of the run is decided and being recorded: an abort changes nothing any more. */
  leaving: boolean;
};

/** Carries out claimed runs: each attempt leaves its run ended, or queued for the next attempt. */
export function createAttempts(deps: ActionDeps & { log: EventLog; logger: Logger; isStopping: () => boolean }) {
  const { config, store, log, sandbox, logger, isStopping } = deps;
  const confined = sandbox.kind !== 'none';
  const hidePaths = createPathHider(config);

  async function carryOut(attempt: Attempt): Promise<void> {
    const { row, controller } = attempt;
    const runLogger = logger.child({
      run_id: row.run_id,
      ticket_id: row.ticket_id,
      ...(confined ? {} : { sandbox: sandbox.kind }),
    });
    // A store that cannot be read takes no events either: the first of them ends the attempt.
    const written = row.attempt === 1 ? 0 : await store.events.size(row.run_id).catch(() => 0);
    const writer = createRunWriter(deps, row, written, (error) => controller.abort(error));
    const timeLeftMs = Math.max(0, timeLimit(config, row).limit * 1000 - writer.spentMs());
    const timeout = setTimeout(() => controller.abort(outOfTime(config, row)), timeLeftMs);
    const { signal } = controller;
    let outcome: Outcome;
    try {
      const ticket = await store.tickets.get(row.ticket_id);
      if (!confined) writer.emit({ type: 'log', data: { level: 'warn', text: NO_SANDBOX } });
      if (ticket === undefined) throw new AppError('ticket_not_found', 'The ticket was deleted.');
      outcome = { result: await actions[row.action](deps, { run: row, ticket, writer, signal }) };
    } catch (error) {
      outcome = { error: signal.aborted ? signal.reason : error };
    } finally {
      clearTimeout(timeout);
    }
    await writer.close();
    attempt.leaving = true;
    // A cancel that came after the agent had crashed counts: the run must not begin again.
    if ('error' in outcome && signal.aborted && toAppError(signal.reason).code === 'canceled') {
      outcome = { error: signal.reason };
    }
    const duration_ms = Math.round(writer.spentMs());
    const { progress, usage } = writer;
    const change =
      beginAgain(row, outcome, config.RUN_MAX_ATTEMPTS) ??
      ending(outcome, { action: row.action, progress, usage }, duration_ms, hidePaths);
    const write = () => log.append(row.run_id, row.attempt, [change.event], { ...change.patch, duration_ms });
    if (!(await untilWritten(write, { isStopping, logger: runLogger }))) return;
    const what = change.patch.state === 'queued' ? 'run will begin again' : 'run ended';
    runLogger.info({ state: change.patch.state, action: row.action, duration_ms }, what);
    if ('error' in outcome && toAppError(outcome.error).code === 'internal') {
      runLogger.error({ err: outcome.error }, 'run failed unexpectedly');
    }
  }

  return carryOut;
}
