import { setTimeout as pause } from 'node:timers/promises';
import type { EventDraft } from '../../schemas/event.ts';
import type { Action, Budget, Run, RunResult, RunState, Usage } from '../../schemas/run.ts';
import type { Logger } from '../config/logger.ts';
import { AppError, toAppError } from '../errors/app-error.ts';
import type { EventLog } from '../events/event-log.ts';
import { FencedError, type RunPatch, type RunRow } from '../store/runs.ts';
import { actions } from './actions.ts';
import type { ActionDeps } from './run-context.ts';
import { outOfTime, timeLimit } from './run-limits.ts';
import { toRun, toRunError } from './run-view.ts';
import { createRunWriter, type Progress } from './run-writer.ts';

export type RunEngine = ReturnType<typeof createRunEngine>;

/** How often a run whose recorded steps allow it is started again after the server died under it. */
const MAX_ATTEMPTS = 3;

/** Pause after the store failed, in milliseconds. */
const RETRY_MS = 1000;

const NO_SANDBOX = 'SANDBOX=none: the agent runs without walls, with all that the server may do on this machine.';

type Job = { row: RunRow; controller: AbortController; done: Promise<void> };

/** Takes runs from the queue, carries each out as one attempt, and sees to it that each ends with a terminal event. */
export function createRunEngine(deps: ActionDeps & { log: EventLog; logger: Logger }) {
  const { config, store, log, agents, sandbox, logger } = deps;
  const jobs = new Map<string, Job>();
  let pumping: Promise<void> | undefined;
  let pumpAgain = false;
  let stopping = false;

  /** Starts queued runs while there is room. */
  function pump(): void {
    // What is under way may have looked at the queue before the caller changed it.
    pumpAgain = true;
    pumping ??= startQueued()
      .catch((error) => {
        logger.error({ err: error }, 'the queue could not be read');
        setTimeout(pump, RETRY_MS).unref();
      })
      .finally(() => {
        pumping = undefined;
        if (pumpAgain) pump();
      });
  }

  async function startQueued(): Promise<void> {
    while (pumpAgain) {
      pumpAgain = false;
      while (!stopping && jobs.size < config.MAX_CONCURRENT_RUNS) {
        const row = await store.runs.claim();
        if (row === undefined) break;
        start(row);
      }
    }
  }

  function start(row: RunRow): void {
    const controller = new AbortController();
    const done = execute(row, controller).finally(() => {
      jobs.delete(row.run_id);
      pump();
    });
    jobs.set(row.run_id, { row, controller, done });
  }

  async function execute(row: RunRow, controller: AbortController): Promise<void> {
    const confined = sandbox.kind !== 'none';
    const runLogger = logger.child({
      run_id: row.run_id,
      ticket_id: row.ticket_id,
      ...(confined ? {} : { sandbox: sandbox.kind }),
    });
    const writer = createRunWriter(log, row, (error) => controller.abort(error));
    const timeout = setTimeout(() => controller.abort(outOfTime(config, row)), timeLimit(config, row).limit * 1000);
    const started = performance.now();
    const { signal } = controller;
    let outcome: { result: RunResult } | { error: unknown };
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
    const duration = Math.round(performance.now() - started);
    const { event, patch } = ending(outcome, writer.usage, duration);
    await writer.close();
    if (!(await recordEnd(row, event, patch, runLogger))) return;
    runLogger.info({ state: patch.state, action: row.action, duration_ms: duration }, 'run ended');
    if ('error' in outcome && toAppError(outcome.error).code === 'internal') {
      runLogger.error({ err: outcome.error }, 'run failed unexpectedly');
    }
  }

  /** A run whose end is not recorded would block its ticket, so it is tried until it works: a full disk passes. */
  async function recordEnd(row: RunRow, event: EventDraft, patch: RunPatch, runLogger: Logger): Promise<boolean> {
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
        // The next start finds the run and ends it.
        if (stopping) return false;
        await pause(RETRY_MS);
      }
    }
  }

  return {
    /**
     * Puts a command into the queue.
     * @throws AppError `message_required`, `agent_not_found`, `ticket_not_found`, `ticket_busy`, `too_many_runs`, `queue_full`, `shutting_down`
     */
    async submit(request: {
      ticketId: string;
      action: Action;
      message?: string | undefined;
      agent?: string | undefined;
      budget?: Budget | undefined;
      /** Who starts it. */
      keyId: string;
    }): Promise<Run> {
      if (stopping) throw new AppError('shutting_down', 'The server takes no new runs.', { retryAfter: 10 });
      const message = request.message?.trim() ? request.message : undefined;
      if (request.action === 'chat' && message === undefined) {
        throw new AppError('message_required', 'The action chat needs a message.', {
          errors: [{ path: '/message', message: 'is required for chat' }],
        });
      }
      const agent = request.agent ?? config.AGENT;
      if (!agents.has(agent)) throw new AppError('agent_not_found', `There is no agent ${JSON.stringify(agent)}.`);
      const ticket = await store.tickets.get(request.ticketId);
      if (ticket === undefined) throw new AppError('ticket_not_found', `There is no ticket ${request.ticketId}.`);
      const row = await store.runs.enqueue({
        ticketId: ticket.ticket_id,
        action: request.action,
        message,
        agent,
        keyId: request.keyId,
        budget: request.budget,
        maxQueued: config.MAX_QUEUED_RUNS,
        maxOfKey: config.MAX_RUNS_PER_KEY,
      });
      const run = await this.view(row);
      pump();
      return run;
    },

    /** @throws AppError `run_not_found` */
    async get(runId: string): Promise<Run> {
      return this.view(await this.row(runId));
    },

    /** @throws AppError `run_not_found` */
    async row(runId: string): Promise<RunRow> {
      const row = await store.runs.get(runId);
      if (row === undefined) throw new AppError('run_not_found', `There is no run ${runId}.`);
      return row;
    },

    async list(query: {
      ticketId?: string;
      cursor?: string;
      limit: number;
      state?: RunState;
      /** Repositories of the runs, as `HOST/OWNER/NAME` or `HOST/OWNER/*` in lower case; all without it. */
      repositories?: readonly string[] | undefined;
    }) {
      const page = await store.runs.list(query);
      return { items: await Promise.all(page.items.map((row) => this.view(row))), next_cursor: page.nextCursor };
    },

    async view(row: RunRow): Promise<Run> {
      return toRun(row, row.state === 'queued' ? await store.runs.position(row.run_id) : undefined);
    },

    /**
     * Ends a run: a queued one at once, a running one as soon as its agent and git commands are ended.
     * @throws AppError `run_not_found`, `run_finished`
     */
    async cancel(runId: string): Promise<Run> {
      for (;;) {
        const row = await this.row(runId);
        if (row.finished_at !== null) throw new AppError('run_finished', `Run ${runId} has ended: ${row.state}.`);
        const reason = new AppError('canceled', 'The run was canceled by request.');
        const job = jobs.get(runId);
        if (job !== undefined) {
          job.controller.abort(reason);
          return this.view(row);
        }
        try {
          const { event, patch } = ending({ error: reason }, JSON.parse(row.usage), 0);
          await log.append(runId, row.attempt, [event], patch);
          return await this.get(runId);
        } catch (error) {
          // It was claimed between the look and the write: look again.
          if (!(error instanceof FencedError)) throw error;
        }
      }
    },

    /** Cancels every run of a ticket and waits for their ends. */
    async cancelTicket(ticketId: string): Promise<void> {
      for (const row of await store.runs.unfinished(ticketId)) {
        await this.cancel(row.run_id).catch((error) => {
          if (toAppError(error).code !== 'run_finished') throw error;
        });
        await jobs.get(row.run_id)?.done;
      }
    },

    /** After a start: runs that were under way go on where their recorded steps allow it, or end as `interrupted`. */
    async start(): Promise<void> {
      for (const row of await store.runs.active()) {
        const progress: Progress = JSON.parse(row.progress);
        if (row.action === 'dev' && progress.agent !== undefined && row.attempt < MAX_ATTEMPTS) {
          const resumed: EventDraft = { type: 'run.resumed', data: { cause: 'server restart' } };
          await log.append(row.run_id, row.attempt, [resumed], { state: 'queued' });
        } else {
          const error = new AppError('interrupted', 'The server stopped while the run was under way.');
          const { event, patch } = ending({ error }, JSON.parse(row.usage), 0);
          await log.append(row.run_id, row.attempt, [event], patch);
        }
      }
      pump();
    },

    /** Takes no more runs, gives those under way `graceMs` to end, then ends them as `interrupted`. */
    async stop(graceMs: number): Promise<void> {
      stopping = true;
      await pumping;
      const all = Promise.all([...jobs.values()].map((job) => job.done));
      const timer = setTimeout(() => {
        for (const job of jobs.values()) {
          job.controller.abort(new AppError('interrupted', 'The server was stopped while the run was under way.'));
        }
      }, graceMs);
      await all.finally(() => clearTimeout(timer));
    },
  };
}

/** The terminal event of a run, and what it changes in the run. */
function ending(outcome: { result: RunResult } | { error: unknown }, usage: Usage, duration_ms: number) {
  const finished_at = new Date().toISOString();
  if ('result' in outcome) {
    const event: EventDraft = { type: 'run.succeeded', data: { result: outcome.result, usage, duration_ms } };
    const patch: RunPatch = { state: 'succeeded', result: JSON.stringify(outcome.result), finished_at };
    return { event, patch };
  }
  const error = toRunError(outcome.error);
  const state = failureState(error.code);
  const event: EventDraft = { type: `run.${state}`, data: { error, usage, duration_ms } };
  const patch: RunPatch = { state, error: JSON.stringify(error), finished_at };
  return { event, patch };
}

function failureState(code: string): 'canceled' | 'timed_out' | 'failed' {
  if (code === 'canceled' || code === 'timed_out') return code;
  return 'failed';
}
