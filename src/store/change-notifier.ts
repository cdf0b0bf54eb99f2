import type { RunEvent } from '../../schemas/event.ts';

/** A committed change. `events` are the events that were appended to the run; it is empty for a new run. */
export type Change =
  | { type: 'ticket'; ticketKey: string; created?: true }
  | { type: 'ticket_deleted'; ticketId: string; repoUrl: string }
  | { type: 'run'; runId: string; events: readonly RunEvent[] };

export type ChangeNotifier = ReturnType<typeof createChangeNotifier>;

/** Notifies listeners of changes of tickets and runs once they are durable. Only this process writes to the store. */
export function createChangeNotifier() {
  const listeners = new Set<(change: Change) => void>();
  return {
    notify(change: Change): void {
      for (const listener of listeners) listener(change);
    },

    /**
     * Calls the listener with each change.
     * @param listener must not throw
     * @returns stops the calls
     */
    watch(listener: (change: Change) => void): () => void {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
