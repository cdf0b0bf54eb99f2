import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import fp from 'fastify-plugin';
import { type RunEvent, TERMINAL_EVENTS } from '../schemas/event.ts';
import { AppError } from '../src/errors/app-error.ts';
import type { EventLog } from '../src/events/event-log.ts';

declare module 'fastify' {
  interface FastifyInstance {
    /** How many streams of events are open. */
    openStreams(): number;
  }
  interface FastifyReply {
    /**
     * Streams a run's events as `text/event-stream`
     * (https://html.spec.whatwg.org/multipage/server-sent-events.html) until the terminal one.
     * @param after `seq` of the last event the client has
     * @param view turns events into frames
     */
    streamEvents(runId: string, after: number, view: EventView): FastifyReply;
    /**
     * Takes one of the streams that the caller's key may have open, until the answer has ended. `streamEvents` does so
     * itself; a route that does something first asks for it before.
     * @throws AppError `too_many_streams`
     */
    holdStream(): void;
  }
}

/** Frames of one stream: what opens it, and what each event looks like in it. */
export type EventView = { opening: string; frame(event: RunEvent): string };

const HEARTBEAT_MS = 15_000;
const PAGE = 256;

/**
 * `reply.streamEvents()`. A stream is a cursor on the log: it reads on when the client wants more, so a stalled client
 * holds no buffer, and leaving never touches the run. Open streams end when the server stops, and with the key that opened
 * them.
 */
export default fp(
  async (app) => {
    const open = new Set<Cursor>();
    app.decorate('openStreams', () => open.size);
    const held = new Map<string, number>();
    const holding = new WeakSet<FastifyReply>();

    app.decorateReply('holdStream', function holdStream() {
      if (holding.has(this)) return;
      const { id } = this.request.caller;
      const count = held.get(id) ?? 0;
      if (count >= app.config.MAX_STREAMS_PER_KEY) {
        throw new AppError('too_many_streams', `The key has ${count} streams open already.`, { retryAfter: 30 });
      }
      holding.add(this);
      held.set(id, count + 1);
      this.raw.once('close', () => {
        const left = (held.get(id) ?? 1) - 1;
        if (left === 0) held.delete(id);
        else held.set(id, left);
      });
    });

    app.decorateReply('streamEvents', function streamEvents(runId, after, view) {
      this.holdStream();
      const cursor = createCursor(app.eventLog, runId, after, view);
      open.add(cursor);
      const unwatch = app.keys.whenOver(this.request.caller, cursor.end);
      cursor.stream.once('close', () => {
        unwatch();
        open.delete(cursor);
      });
      return this.header('content-type', 'text/event-stream; charset=utf-8')
        .header('cache-control', 'no-cache, no-transform')
        .header('x-accel-buffering', 'no')
        .send(cursor.stream);
    });

    app.addHook('preClose', async () => {
      for (const cursor of open) cursor.end();
    });
  },
  { name: 'sse', dependencies: ['store', 'auth'] },
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
