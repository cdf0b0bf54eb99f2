import type { RunEvent } from '../../schemas/event.ts';
import type { EventView } from '../core/sse.ts';

/** Time after which a disconnected client reconnects. */
const RETRY_MS = 1000;

const formatted = new WeakMap<RunEvent, string>();

/** Formats each event as one frame, with its `seq` as id and its type as event name. */
export const eventView: EventView = {
  opening: `retry: ${RETRY_MS}\n\n`,
  frame(event) {
    // Each event is formatted once for all clients.
    let frame = formatted.get(event);
    if (frame === undefined) {
      frame = `id: ${event.seq}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
      formatted.set(event, frame);
    }
    return frame;
  },
};
