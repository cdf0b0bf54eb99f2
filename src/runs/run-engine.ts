import type { Action, Budget, Run, RunState } from '../../schemas/run.ts';
import { createPathHider } from '../config/hide-paths.ts';
import type { Logger } from '../config/logger.ts';
import { AppError, toAppError } from '../errors/app-error.ts';
import type { EventLog } from '../events/event-log.ts';
import { FencedError } from '../store/runs.ts';
import type { RunRow } from '../store/schema.ts';
import { type Attempt, createAttempts } from './attempts.ts';
import { createDispatcher } from './dispatcher.ts';
import { backInQueue, ending } from './outcomes.ts';
import { createWaiting } from './queue-estimates.ts';
import { untilWritten } from './retry-write.ts';
import type { ActionDeps } from './run-context.ts';
import { toRun } from './run-view.ts';

export type RunEngine = ReturnType<typeof createRunEngine>;

type EngineDeps = ActionDeps & {
  log: EventLog;
  logger: Logger;
  /** Whether new work may begin now; what is queued waits until it may. */
  mayStart: () => Promise<boolean>;
};

/** Takes runs from the queue, carries each out in one or more attempts, and sees to it that each ends with a terminal event. */
export function createRunEngine(deps: EngineDeps) {
  const { config, store, log, agents, logger, mayStart } = deps;
  const waiting = createWaiting(store, config);
  const hidePaths = createPathHider(config);
  const dispatcher = createDispatcher(
    { store, logger, maxAtOnce: config.MAX_CONCURRENT_RUNS, mayStart },
    (attempt: Attempt): Promise<void> => carryOut(attempt),
  );
  const carryOut = createAttempts({ ...deps, isStopping: dispatcher.isStopping });

  async function views(rows: readonly RunRow[]): Promise<Run[]> {
    const places = await waiting.placesOf(rows);
    return rows.map((row) => toRun(row, places.get(row.run_id)));
  }

  /** Ends a run that no attempt is under way at. */
  async function endNow(row: RunRow, error: AppError): Promise<void> {
    const run = { action: row.action, progress: JSON.parse(row.progress), usage: JSON.parse(row.usage) };
    const { event, patch } = ending({ error }, run, row.duration_ms, hidePaths);
    await log.append(row.run_id, row.attempt, [event], patch);
  }

  /** What becomes of a run that another server left behind. */
  async function takeUp(row: RunRow): Promise<void> {
    if (row.cancel_requested_at !== null) return endNow(row, canceled());
    const change = backInQueue(row, 'server restart', config.RUN_MAX_ATTEMPTS);
    if (change === undefined) {
      return endNow(row, new AppError('interrupted', 'The server stopped while the run was under way.'));
    }
    await log.append(row.run_id, row.attempt, [change.event], change.patch);
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
      /** Record of the request's Idempotency-Key: a run that it started before is the answer. */
      idempotencyId?: string | undefined;
    }): Promise<Run> {
      if (dispatcher.isStopping())
        throw new AppError('shutting_down', 'The server takes no new runs.', { retryAfter: 10 });
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
      const estimateWait = await waiting.waitOf(request.action);
      const enqueued = store.runs.enqueue({
        ticketId: ticket.ticket_id,
        action: request.action,
        message,
        agent,
        keyId: request.keyId,
        idempotencyId: request.idempotencyId,
        budget: request.budget,
        maxQueued: config.MAX_QUEUED_RUNS,
        maxOpenPerKey: config.MAX_RUNS_PER_KEY,
        estimateWait,
      });
      // Before that is written: where there is room, the run is queued and taken by one transaction.
      dispatcher.pump();
      const { row, queued } = await enqueued;
      if (queued === undefined) return this.view(row);
      return toRun(row, { queue_position: queued.position, estimated_wait_s: queued.estimated_wait_s });
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
      return { items: await views(page.items), next_cursor: page.nextCursor };
    },

    /** Stored runs as clients see them. */
    views,

    async view(row: RunRow): Promise<Run> {
      return toRun(row, (await waiting.placesOf([row])).get(row.run_id));
    },

    /**
     * Ends a run: a queued one at once, a running one as soon as its agent and git commands are ended.
     * @throws AppError `run_not_found`, `run_finished`
     */
    async cancel(runId: string): Promise<Run> {
      for (;;) {
        const row = await this.row(runId);
        if (row.finished_at !== null) throw new AppError('run_finished', `Run ${runId} has ended: ${row.state}.`);
        const job = dispatcher.job(runId);
        if (job?.leaving === false) {
          // At once, also when the wish cannot be written: what fills the disk may be the run itself.
          job.controller.abort(canceled());
          if (await store.runs.recordCancelRequest(runId)) return this.view(row);
          const ended = await this.get(runId);
          if (ended.state === 'canceled') return ended;
          continue;
        }
        try {
          // One that is just being put back into the queue is canceled there.
          await job?.done;
          if (job !== undefined) continue;
          await endNow(row, canceled());
          return await this.get(runId);
        } catch (error) {
          // It was claimed between the look and the write: look again.
          if (!(error instanceof FencedError)) throw error;
        }
      }
    },

    /** Cancels every run of a ticket and waits for their ends. */
    async cancelTicket(ticketId: string): Promise<void> {
      for (const row of await store.runs.listOpen(ticketId)) {
        await this.cancel(row.run_id).catch((error) => {
          if (toAppError(error).code !== 'run_finished') throw error;
        });
        await dispatcher.job(row.run_id)?.done;
      }
    },

    /**
     * After a start: puts runs that were under way back into the queue, or ends them when they were begun too often or were to
     * be canceled.
     */
    async start(): Promise<void> {
      const { isStopping } = dispatcher;
      for (const row of await store.runs.listInterrupted()) {
        const about = logger.child({ run_id: row.run_id, ticket_id: row.ticket_id });
        await untilWritten(() => takeUp(row), { isStopping, logger: about });
      }
      dispatcher.pump();
    },

    /** Takes no more runs, gives those under way `graceMs` to end, then puts them back into the queue for the next start. */
    stop: (graceMs: number): Promise<void> =>
      dispatcher.stop(graceMs, new AppError('interrupted', 'The server was stopped while the run was under way.')),
  };
}

function canceled(): AppError {
  return new AppError('canceled', 'The run was canceled by request.');
}
