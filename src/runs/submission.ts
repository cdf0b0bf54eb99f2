import type { Action, Budget, Run } from '../../schemas/run.ts';
import { AppError } from '../errors/app-error.ts';
import type { EngineContext } from './engine-context.ts';
import { toRun } from './run-view.ts';

export type SubmitRequest = {
  ticketId: string;
  action: Action;
  message?: string | undefined;
  agent?: string | undefined;
  budget?: Budget | undefined;
  /** Id of the caller's key. */
  keyId: string;
  /** Record of the request's Idempotency-Key. If it already started a run, that run is returned. */
  idempotencyId?: string | undefined;
};

/** Implements `RunEngine.submit`. */
export async function submitRun(context: EngineContext, request: SubmitRequest): Promise<Run> {
  const { config, store, agents, dispatcher, estimates, queries, stopping } = context;
  const { action, keyId, idempotencyId, budget, agent = config.AGENT } = request;
  if (stopping.aborted) {
    throw new AppError('shutting_down', 'The server is shutting down and accepts no new runs.', { retryAfter: 10 });
  }
  const message = request.message?.trim() ? request.message : undefined;
  if (action === 'chat' && message === undefined) {
    throw new AppError('message_required', 'The action chat needs a message.', {
      errors: [{ path: '/message', message: 'is required for chat' }],
    });
  }
  if (!agents.has(agent)) throw new AppError('agent_not_found', `There is no agent ${JSON.stringify(agent)}.`);
  const ticket = await store.tickets.get(request.ticketId);
  if (ticket === undefined) throw new AppError('ticket_not_found', `There is no ticket ${request.ticketId}.`);
  const enqueued = store.runs.enqueue({
    ...{ ticketId: ticket.ticket_id, action, message, agent, keyId, idempotencyId, budget },
    maxQueued: config.MAX_QUEUED_RUNS,
    maxOpenPerKey: config.MAX_RUNS_PER_KEY,
    estimateWait: await estimates.estimatorOf(action),
  });
  // Before the write is committed, so that one transaction queues and claims the run.
  dispatcher.dispatch();
  const { row, queued } = await enqueued;
  if (queued === undefined) return queries.view(row);
  return toRun(row, { queue_position: queued.position, estimated_wait_s: queued.estimated_wait_s });
}
