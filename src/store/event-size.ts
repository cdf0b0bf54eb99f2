import type { EventDraft } from '../../schemas/event.ts';

/** What an event takes in the store beside its data, in bytes. */
export const EVENT_OVERHEAD = 100;

/** Measures what an event takes in the store, in bytes, as `store.events.size` sums it up. */
export function eventSize({ data }: Pick<EventDraft, 'data'>): number {
  return EVENT_OVERHEAD + Buffer.byteLength(JSON.stringify(data));
}
