import { type EventDraft, type RunEvent, TERMINAL_EVENTS } from '../../schemas/event.ts';
import { type EventRedaction, redactEvents } from '../redaction/redact-events.ts';
import type { Redactor } from '../redaction/redactor.ts';
import { eventSize } from '../store/event-size.ts';
import type { Store } from '../store/open-store.ts';
import type { RunPatch } from '../store/runs.ts';

export type EventLog = ReturnType<typeof createEventLog>;

/** How many of a run's newest events are kept in memory while somebody reads it, and how large they may be, in bytes. */
const TAIL = 256;
const MAX_TAIL = 4 * 1024 * 1024;

/** What a reader is told: that there is more, or that there will be nothing any more. */
export type Watcher = { wake(): void; end(): void };

/** Sees each batch of events once it is durable. */
export type Observer = (runId: string, events: readonly RunEvent[]) => void;

type Reader = { tail: RunEvent[]; size: number; watchers: Set<Watcher> };

/**
 * The log of events: appended by the run's worker, read by any number of cursors. An event is durable before any
 * reader can see it; readers are only woken, and pull at their own pace, so a slow one costs nothing. Whatever a run leaves
 * goes through here, and loses the server's secrets.
 */
export function createEventLog(store: Pick<Store, 'runs' | 'events' | 'changes'>, redactor: Redactor) {
  const readers = new Map<string, Reader>();
  const observers = new Set<Observer>();
  /** A secret may be split over two messages: what is held of the first is the run's, until its terminal event. */
  const redactions = new Map<string, EventRedaction>();

  function putBack(runId: string, redaction: EventRedaction | undefined): void {
    if (redaction === undefined) redactions.delete(runId);
    else redactions.set(runId, redaction);
  }

  store.changes.watch((change) => {
    if (change.type === 'run' && change.events.length > 0) show(change.runId, change.events);
  });

  /** Shows events, now that they are durable. */
  function show(runId: string, events: readonly RunEvent[]): void {
    for (const observer of observers) observer(runId, events);
    const reader = readers.get(runId);
    if (reader === undefined) return;
    reader.tail.push(...events);
    if (reader.tail.length > 2 * TAIL) reader.tail.splice(0, reader.tail.length - TAIL);
    reader.size += events.reduce((sum, event) => sum + eventSize(event), 0);
    // What readers miss there, they read from the store.
    if (reader.size > MAX_TAIL) Object.assign(reader, { tail: [], size: 0 });
    for (const watcher of reader.watchers) watcher.wake();
  }

  return {
    /**
     * Appends events to a run, changing the run in the same transaction.
     * @throws FencedError when `fence` is not the attempt that may write
     */
    async append(runId: string, fence: number, drafts: readonly EventDraft[], patch?: RunPatch): Promise<RunEvent[]> {
      const before = redactions.get(runId);
      const redaction = before?.copy() ?? redactEvents(redactor);
      const told = drafts.flatMap(redaction.redact);
      const changes = patch && redactPatch(patch, redactor);
      redactions.set(runId, redaction);
      let events: RunEvent[];
      try {
        events = await store.runs.append(runId, fence, told, changes);
      } catch (error) {
        // What could not be written may be handed in again, and must find what was held.
        if (redactions.get(runId) === redaction) putBack(runId, before);
        throw error;
      }
      if (events.some(({ type }) => TERMINAL_EVENTS.has(type))) redactions.delete(runId);
      return events;
    },

    /** Shows the observer all that is appended from now on, to any run. It must not throw, and not take long. */
    observe(observer: Observer): void {
      observers.add(observer);
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

    /** Tells the watcher of each append to the run, until the returned function is called. */
    watch(runId: string, watcher: Watcher): () => void {
      const reader = readers.get(runId) ?? { tail: [], size: 0, watchers: new Set() };
      readers.set(runId, reader);
      reader.watchers.add(watcher);
      return () => {
        reader.watchers.delete(watcher);
        if (reader.watchers.size === 0 && readers.get(runId) === reader) readers.delete(runId);
      };
    },

    /** Ends all readers of a run whose events are gone. */
    closeRun(runId: string): void {
      redactions.delete(runId);
      for (const watcher of readers.get(runId)?.watchers ?? []) watcher.end();
    },
  };
}

/** Columns of JSON that hold what an agent said. */
function redactPatch(patch: RunPatch, redactor: Redactor): RunPatch {
  const redacted = { ...patch };
  for (const column of ['progress', 'result', 'error'] as const) {
    const json = redacted[column];
    if (typeof json === 'string') redacted[column] = redactor.json(json);
  }
  return redacted;
}
