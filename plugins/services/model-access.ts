import type { EventLog } from '../../src/events/event-log.ts';

/** Time after which a refusal no longer counts, in milliseconds: nothing but another run can find out. */
const REMEMBERED_MS = 5 * 60_000;

/** Remembers from the log of events whether the model took the server's key the last time it was used. */
export function createModelAccess(log: Pick<EventLog, 'observe'>) {
  let refusedAt: number | undefined;
  log.observe((_runId, events) => {
    for (const event of events) {
      if (event.type === 'usage.updated') refusedAt = undefined;
      else if (event.type === 'run.failed' && event.data.error.code === 'agent_auth') refusedAt = performance.now();
    }
  });
  return { refused: () => refusedAt !== undefined && performance.now() - refusedAt < REMEMBERED_MS };
}
