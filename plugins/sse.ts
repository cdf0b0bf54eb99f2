import { Readable } from 'node:stream';
import fp from 'fastify-plugin';
import { type RunEvent, TERMINAL_EVENTS } from '../schemas/event.ts';
import type { EventLog } from '../src/events/event-log.ts';

declare module 'fastify' {
  interface FastifyReply {
    /**
     * Streams a run's events as `text/event-stream`
     * (https://html.spec.whatwg.org/multipage/server-sent-events.html) until the terminal one.
     * @param after `seq` of the last event the client has
     * @param view turns events into frames
     */
    streamEvents(runId: string, after: number, view: EventView): FastifyReply;
  }
}

/** Frames of one stream: what opens it, and what each event looks like in it. */
export type EventView = { opening: string; frame(event: RunEvent): string };

const HEARTBEAT_MS = 15_000;
const PAGE = 256;

/**
 * `reply.streamEvents()`. A stream is a cursor on the log: it reads on when the client wants more, so a stalled client
 * holds no buffer, and leaving never touches the run. Open streams end when the server stops.
 */
export default fp(
  async (app) => {
    const open = new Set<Cursor>();

    app.decorateReply('streamEvents', function streamEvents(runId, after, view) {
      const cursor = createCursor(app.eventLog, runId, after, view);
      open.add(cursor);
      cursor.stream.once('close', () => open.delete(cursor));
      return this.header('content-type', 'text/event-stream; charset=utf-8')
        .header('cache-control', 'no-cache, no-transform')
        .header('x-accel-buffering', 'no')
        .send(cursor.stream);
    });

    app.addHook('preClose', async () => {
      for (const cursor of open) cursor.end();
    });
  },
  { name: 'sse', dependencies: ['store'] },
);

type Cursor = { stream: Readable; end: () => void };

function createCursor(log: EventLog, runId: string, after: number, view: EventView): Cursor {
  let position = after;
  let wanted = false;
  let reading = false;
  let woken = false;
  let ended = false;

  const stream = new Readable({
    read() {
      wanted = true;
      void advance();
    },
    destroy(error, callback) {
      clearInterval(heartbeat);
      unwatch();
      callback(error);
    },
  });
  const unwatch = log.watch(runId, { wake: () => void advance(), end });
  const heartbeat = setInterval(() => {
    if (wanted && !reading && !ended) stream.push(':\n\n');
  }, HEARTBEAT_MS).unref();
  stream.push(view.opening);
  return { stream, end };

  /** Pushes what the log holds beyond the position for as long as the client wants more. */
  async function advance(): Promise<void> {
    woken = true;
    if (!wanted || reading || ended || stream.destroyed) return;
    reading = true;
    try {
      while (wanted && woken && !ended) {
        woken = false;
        const events = await log.read(runId, position, PAGE);
        if (ended || stream.destroyed) return;
        for (const event of events) {
          woken = true;
          position = event.seq;
          const frame = view.frame(event);
          if (frame !== '') wanted = stream.push(frame);
          if (TERMINAL_EVENTS.has(event.type)) end();
          // What the client does not want yet is read again later, not kept.
          if (!wanted) break;
        }
      }
    } catch (error) {
      stream.destroy(error instanceof Error ? error : new Error(String(error)));
    } finally {
      reading = false;
    }
  }

  function end(): void {
    if (ended) return;
    ended = true;
    stream.push(null);
  }
}
