import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from '../config/logger.ts';
import { AppError, toAppError } from '../errors/app-error.ts';
import type { EventLog } from '../events/event-log.ts';
import { FencedError, type RunRow } from '../store/runs.ts';
import { actions } from './actions.ts';
import { beginAgain, type Change, ending, type Outcome } from './endings.ts';
import type { ActionDeps } from './run-context.ts';
import { outOfTime, timeLimit } from './run-limits.ts';
import { createRunWriter } from './run-writer.ts';

/** Pause after the store failed, in milliseconds. */
const RETRY_MS = 1000;

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
  const { config, store, log, sandbox, logger } = deps;
  const confined = sandbox.kind !== 'none';

  async function carryOut(attempt: Attempt): Promise<void> {
    const { row, controller } = attempt;
    const runLogger = logger.child({
      run_id: row.run_id,
      ticket_id: row.ticket_id,
      ...(confined ? {} : { sandbox: sandbox.kind }),
    });
    const writer = createRunWriter(log, row, (error) => controller.abort(error));
    const timeout = setTimeout(() => controller.abort(outOfTime(config, row)), timeLimit(config, row).limit * 1000);
    const started = performance.now();
    const { signal } = controller;
    let outcome: Outcome;
    try {
      await writer.save({}, [{ type: 'run.started', data: { attempt: row.attempt, agent: row.agent } }]);
      if (!confined) writer.emit({ type: 'log', data: { level: 'warn', text: NO_SANDBOX } });
      const ticket = await store.tickets.get(row.ticket_id);
      if (ticket === undefined) throw new AppError('ticket_not_found', 'The ticket was deleted.');
      outcome = { result: await actions[row.action](deps, { run: row, ticket, writer, signal }) };
    } catch (error) {
      outcome = { error: signal.aborted ? signal.reason : error };
    } finally {
      clearTimeout(timeout);
    }
    await writer.close();
    attempt.leaving = true;
    const duration_ms = Math.round(performance.now() - started);
    const { progress, usage } = writer;
    const change =
      beginAgain(row, outcome, config.RUN_MAX_ATTEMPTS) ??
      ending(outcome, { action: row.action, progress, usage }, duration_ms);
    if (!(await record(row, change, runLogger))) return;
    const what = change.patch.state === 'queued' ? 'run will begin again' : 'run ended';
    runLogger.info({ state: change.patch.state, action: row.action, duration_ms }, what);
    if ('error' in outcome && toAppError(outcome.error).code === 'internal') {
      runLogger.error({ err: outcome.error }, 'run failed unexpectedly');
    }
  }

  /** A run whose end is not recorded would block its ticket, so it is tried until it works: a full disk passes. */
  async function record(row: RunRow, { event, patch }: Change, runLogger: Logger): Promise<boolean> {
    for (;;) {
      try {
        await log.append(row.run_id, row.attempt, [event], patch);
        return true;
      } catch (error) {
        if (error instanceof FencedError) {
          runLogger.warn({ attempt: row.attempt }, 'the run was taken over or removed');
          return false;
        }
        runLogger.error({ err: error }, 'the end of the run could not be recorded');
        // The next start finds the run under way.
        if (deps.isStopping()) return false;
        await pause(RETRY_MS);
      }
    }
  }

  return carryOut;
}
