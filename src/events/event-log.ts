import type { EventDraft, RunEvent } from '../../schemas/event.ts';
import type { Store } from '../store/open-store.ts';
import type { RunPatch } from '../store/runs.ts';

export type EventLog = ReturnType<typeof createEventLog>;

/** How many of a run's newest events are kept in memory while somebody reads it. */
const TAIL = 512;

type Reader = { tail: RunEvent[]; wakes: Set<() => void> };

/**
 * The log of events: appended by the run's worker, read by any number of cursors. An event is durable before any
 * reader can see it; readers are only woken, and pull at their own pace, so a slow one costs nothing.
 */
export function createEventLog(store: Pick<Store, 'runs' | 'events'>) {
  const readers = new Map<string, Reader>();

  return {
    /**
     * Appends events to a run, changing the run in the same transaction.
     * @throws FencedError when `fence` is not the attempt that may write
     */
    async append(runId: string, fence: number, drafts: readonly EventDraft[], patch?: RunPatch): Promise<RunEvent[]> {
      const events = await store.runs.append(runId, fence, drafts, patch);
      const reader = readers.get(runId);
      if (reader !== undefined) {
        reader.tail.push(...events);
        if (reader.tail.length > 2 * TAIL) reader.tail.splice(0, reader.tail.length - TAIL);
        for (const wake of reader.wakes) wake();
      }
      return events;
    },

    /** Events with `seq` above `after`, in order, at most `limit`. */
    async read(runId: string, after: number, limit: number): Promise<RunEvent[]> {
      const tail = readers.get(runId)?.tail;
      const first = tail?.[0]?.seq;
      if (tail !== undefined && first !== undefined && after >= first - 1) {
        return tail.slice(after - first + 1, after - first + 1 + limit);
      }
      return store.events.read(runId, after, limit);
    },

    /** Calls `wake` after each append to the run, until the returned function is called. */
    watch(runId: string, wake: () => void): () => void {
      const reader = readers.get(runId) ?? { tail: [], wakes: new Set() };
      readers.set(runId, reader);
      reader.wakes.add(wake);
      return () => {
        reader.wakes.delete(wake);
        if (reader.wakes.size === 0) readers.delete(runId);
      };
    },
  };
}
