import type { EventDraft } from '../../schemas/event.ts';

/** Bytes of an event in the store beside its data. */
export const EVENT_OVERHEAD = 100;

/** Estimates the size of an event in the store, in bytes. `store.events.size` sums up the same figures. */
export function eventSize({ data }: Pick<EventDraft, 'data'>): number {
  return EVENT_OVERHEAD + Buffer.byteLength(JSON.stringify(data));
}
