import { type EventDraft, type RunEvent, TERMINAL_EVENTS } from '../../schemas/event.ts';
import { type EventRedaction, redactEvents } from '../redaction/redact-events.ts';
import type { Redactor } from '../redaction/redactor.ts';
import { eventSize } from '../store/event-size.ts';
import type { Store } from '../store/open-store.ts';
import type { RunPatch } from '../store/runs.ts';

export type EventLog = ReturnType<typeof createEventLog>;

/** The newest events of a run that stay in memory while it has readers. */
const MAX_TAIL_EVENTS = 256;
const MAX_TAIL_BYTES = 4 * 1024 * 1024;

/** Receives a call when a log has grown, and when it is closed. */
export type Watcher = { wake(): void; end(): void };

/** Receives each batch of events once it is durable. */
export type Observer = (runId: string, events: readonly RunEvent[]) => void;

type Readers = { tail: RunEvent[]; size: number; watchers: Set<Watcher> };

/**
 * Creates the event log. The attempt of a run appends, and any number of cursors read. An event is durable before a reader can
 * see it. Readers are only woken and pull at their own pace, so a slow one costs nothing. All output of a run passes through the
 * log, which redacts it.
 */
export function createEventLog(store: Pick<Store, 'runs' | 'events' | 'changes'>, redactor: Redactor) {
  const readers = new Map<string, Readers>();
  const observers = new Set<Observer>();
  /** By run, until its terminal event: a secret can be split between two messages. */
  const redactions = new Map<string, EventRedaction>();

  function restore(runId: string, redaction: EventRedaction | undefined): void {
    if (redaction === undefined) redactions.delete(runId);
    else redactions.set(runId, redaction);
  }

  store.changes.watch((change) => {
    if (change.type === 'run' && change.events.length > 0) publish(change.runId, change.events);
  });

  /** Passes durable events to observers and readers. */
  function publish(runId: string, events: readonly RunEvent[]): void {
    for (const observer of observers) observer(runId, events);
    const present = readers.get(runId);
    if (present === undefined) return;
    present.tail.push(...events);
    if (present.tail.length > 2 * MAX_TAIL_EVENTS) present.tail.splice(0, present.tail.length - MAX_TAIL_EVENTS);
    present.size += events.reduce((sum, event) => sum + eventSize(event), 0);
    // Readers get missing events from the store.
    if (present.size > MAX_TAIL_BYTES) Object.assign(present, { tail: [], size: 0 });
    for (const watcher of present.watchers) watcher.wake();
  }

  return {
    /**
     * Appends redacted events to a run and updates the run in the same transaction.
     * @throws FencedError when `fence` is no longer the attempt of the run
     */
    async append(runId: string, fence: number, drafts: readonly EventDraft[], patch?: RunPatch): Promise<RunEvent[]> {
      const before = redactions.get(runId);
      const redaction = before?.copy() ?? redactEvents(redactor);
      const redacted = drafts.flatMap(redaction.redact);
      const changes = patch && redactPatch(patch, redactor);
      redactions.set(runId, redaction);
      let events: RunEvent[];
      try {
        events = await store.runs.append(runId, fence, redacted, changes);
      } catch (error) {
        // A retry of this write needs the state from before it.
        if (redactions.get(runId) === redaction) restore(runId, before);
        throw error;
      }
      if (events.some(({ type }) => TERMINAL_EVENTS.has(type))) redactions.delete(runId);
      return events;
    },

    /** Passes all further batches of all runs to an observer. It must not throw, and must return quickly. */
    observe(observer: Observer): void {
      observers.add(observer);
    },

    /** Reads at most `limit` events with `seq` above `after`, in order. */
    async read(runId: string, after: number, limit: number): Promise<RunEvent[]> {
      const tail = readers.get(runId)?.tail;
      const first = tail?.[0]?.seq;
      if (tail !== undefined && first !== undefined && after >= first - 1) {
        return tail.slice(after - first + 1, after - first + 1 + limit);
      }
      return store.events.read(runId, after, limit);
    },

    /** Wakes the watcher on each append to the run. Returns a function that stops the calls. */
    watch(runId: string, watcher: Watcher): () => void {
      const present = readers.get(runId) ?? { tail: [], size: 0, watchers: new Set() };
      readers.set(runId, present);
      present.watchers.add(watcher);
      return () => {
        present.watchers.delete(watcher);
        if (present.watchers.size === 0 && readers.get(runId) === present) readers.delete(runId);
      };
    },

    /** Closes the streams of all readers of a run whose events were deleted. */
    closeRun(runId: string): void {
      redactions.delete(runId);
      for (const watcher of readers.get(runId)?.watchers ?? []) watcher.end();
    },
  };
}

/** Redacts the JSON columns that contain output of an agent. */
function redactPatch(patch: RunPatch, redactor: Redactor): RunPatch {
  const redacted = { ...patch };
  for (const column of ['progress', 'result', 'error'] as const) {
    const json = redacted[column];
    if (typeof json === 'string') redacted[column] = redactor.json(json);
  }
  return redacted;
}
