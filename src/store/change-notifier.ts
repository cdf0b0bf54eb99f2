import type { RunEvent } from '../../schemas/event.ts';

/** What changed in the store, by id. `events` are what was appended to a run; none when it is new. */
export type Change =
  | { type: 'ticket'; ticketKey: string; created?: true }
  | { type: 'ticket_deleted'; ticketId: string; repoUrl: string }
  | { type: 'run'; runId: string; events: readonly RunEvent[] };

export type ChangeNotifier = ReturnType<typeof createChangeNotifier>;

/** Tells of tickets and runs that changed, after the change is durable; of those of this process, which are all there are. */
export function createChangeNotifier() {
  const listeners = new Set<(change: Change) => void>();
  return {
    notify(change: Change): void {
      for (const listener of listeners) listener(change);
    },
    /** Calls the listener with each change until the returned function is called; it must not throw. */
    watch(listener: (change: Change) => void): () => void {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
