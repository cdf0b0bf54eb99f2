import type { Ticket } from '../../schemas/ticket.ts';
import type { Change, ChangeNotifier } from '../store/change-notifier.ts';

/** Longest time for which a view is valid, in milliseconds: no event reports what a person does to a folder. */
const MAX_AGE_MS = 1000;

const MAX_VIEWS = 1000;

/** Events of a run that change nothing in the view of its ticket. They are nearly all events of a busy run. */
const INVISIBLE_EVENTS = new Set<string>([
  'message.delta',
  'thought.delta',
  'tool.started',
  'tool.updated',
  'usage.updated',
  'log',
]);

/**
 * Caches the views of tickets until the store changes, so that frequent reads cost neither queries nor disk access.
 * @param load makes the view of a ticket
 */
export function createViewCache(changes: ChangeNotifier, load: (ticketId: string) => Promise<Ticket>) {
  const views = new Map<string, { at: number; view: Promise<Ticket> }>();

  // All views: a change of a run does not name its ticket, and visible changes are rare.
  changes.watch((change) => {
    if (isVisible(change)) views.clear();
  });

  return {
    get(key: string, ticketId: string): Promise<Ticket> {
      const now = performance.now();
      const cached = views.get(key);
      if (cached !== undefined && now - cached.at < MAX_AGE_MS) return cached.view;
      const view = load(ticketId);
      if (views.size >= MAX_VIEWS) views.clear();
      // Cached while it loads, so that a change in the meantime evicts it.
      views.set(key, { at: now, view });
      view.catch(() => views.delete(key));
      return view;
    },

    /** Evicts all views, after a change outside the store. */
    clear: () => views.clear(),
  };
}

function isVisible(change: Change): boolean {
  return (
    change.type !== 'run' || change.events.length === 0 || change.events.some(({ type }) => !INVISIBLE_EVENTS.has(type))
  );
}
