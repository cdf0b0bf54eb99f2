import type { Ticket } from '../../schemas/ticket.ts';
import type { Change, ChangeNotifier } from '../store/change-notifier.ts';

/** Longest time in milliseconds for which a view is good: what a person does to a folder is told by nobody. */
const FRESH_MS = 1000;

/** How many views are kept. */
const KEPT = 1000;

/** What of a run a ticket does not show, and what a busy run consists of. */
const UNSEEN = new Set<string>([
  'message.delta',
  'thought.delta',
  'tool.started',
  'tool.updated',
  'usage.updated',
  'log',
]);

type Remembered = { at: number; view: Promise<Ticket> };

/**
 * Keeps the views of tickets that were looked up until something changes, so that asking often costs no query and no look
 * at the disk.
 * @param look makes the view of a ticket
 */
export function rememberViews(changes: ChangeNotifier, look: (ticketId: string) => Promise<Ticket>) {
  const views = new Map<string, Remembered>();

  // A change of a run does not name its ticket, and is rare beside what runs say.
  changes.watch((change) => {
    if (isSeen(change)) views.clear();
  });

  return {
    get(key: string, ticketId: string): Promise<Ticket> {
      const now = performance.now();
      const known = views.get(key);
      if (known !== undefined && now - known.at < FRESH_MS) return known.view;
      const view = look(ticketId);
      if (views.size >= KEPT) views.clear();
      // Before it is looked up: a change that comes meanwhile takes it away again.
      views.set(key, { at: now, view });
      view.catch(() => views.delete(key));
      return view;
    },

    /** To be called after a change that is not one of the store. */
    clear: () => views.clear(),
  };
}

function isSeen(change: Change): boolean {
  return change.type !== 'run' || change.events.length === 0 || change.events.some(({ type }) => !UNSEEN.has(type));
}
