import type { EventLog } from '../../src/events/event-log.ts';

/** Time after which a refusal no longer counts: only another run can find out whether the key works again. */
const REFUSAL_TTL_MS = 5 * 60_000;

/** Tracks in the event log whether the model API refused the key of the server. */
export function createModelAccess(log: Pick<EventLog, 'observe'>) {
  let refusedAt: number | undefined;
  log.observe((_runId, events) => {
    for (const event of events) {
      if (event.type === 'usage.updated') refusedAt = undefined;
      else if (event.type === 'run.failed' && event.data.error.code === 'agent_auth') refusedAt = performance.now();
    }
  });
  return { refused: () => refusedAt !== undefined && performance.now() - refusedAt < REFUSAL_TTL_MS };
}
