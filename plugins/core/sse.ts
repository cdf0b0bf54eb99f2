import { Readable } from 'node:stream';
import { type TUnsafe, Type } from '@sinclair/typebox';
import type { FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { type RunEvent, TERMINAL_EVENTS } from '../../schemas/event.ts';
import { AppError } from '../../src/errors/app-error.ts';
import { type Cursor, createCursor, type Source } from '../../src/events/cursor.ts';
import type { RunRow } from '../../src/store/schema.ts';

declare module 'fastify' {
  interface FastifyInstance {
    /** Returns the number of open streams. */
    openStreams(): number;
    /** Response schema of routes that return `reply.stream()` or `reply.streamEvents()`. */
    eventStream: TUnsafe<Readable>;
  }
  interface FastifyRequest {
    /**
     * Returns the `seq` of the last event that the client has: `Last-Event-ID`, or else `after`.
     * @throws AppError `cursor_unknown` when the run has no such event, `events_expired` when the next event is deleted
     */
    resumesAfter(run: RunRow, after?: number): Promise<number>;
  }
  interface FastifyReply {
    /**
     * Returns an answer that streams a source as `text/event-stream`
     * (https://html.spec.whatwg.org/multipage/server-sent-events.html) until it ends.
     */
    stream<Entry>(source: Source<Entry>): Readable;
    /**
     * Returns an answer that streams the events of a run up to the terminal event. A client that has the terminal event gets
     * 204, which stops an `EventSource` from reconnecting.
     * @param after `seq` of the last event that the client has
     * @param view formats events as frames
     */
    streamEvents(run: RunRow, after: number, view: EventView): Readable | FastifyReply;
    /**
     * Counts a stream against MAX_STREAMS_PER_KEY until the answer is closed. `stream` calls it; a route calls it earlier when
     * it changes something first.
     * @throws AppError `too_many_streams`
     */
    reserveStream(): void;
  }
}

/** Many proxies close a connection after a longer silence. One timer serves all streams to save memory. */
const HEARTBEAT_INTERVAL_MS = 15_000;

/** Format of one stream: its opening and the frame of each event. */
export type EventView = { opening: string; frame(event: RunEvent): string };

/**
 * Decorates `reply.stream()` and `reply.streamEvents()`. A stream is a cursor that reads when the client is ready for more: a
 * stalled client holds no buffer, and a disconnect never affects the run. Streams close when the server stops or their key is
 * revoked.
 */
export default fp(
  async (app) => {
    const open = new Set<Cursor>();
    app.decorate('openStreams', () => open.size);
    app.decorate('eventStream', Type.Unsafe<Readable>({ type: 'string' }));
    const countByKey = new Map<string, number>();
    const reserved = new WeakSet<FastifyReply>();

    app.decorateReply('reserveStream', function reserveStream() {
      if (reserved.has(this)) return;
      const { id } = this.request.caller;
      const count = countByKey.get(id) ?? 0;
      if (count >= app.config.MAX_STREAMS_PER_KEY) {
        throw new AppError('too_many_streams', `The key has ${count} open streams already.`, { retryAfter: 30 });
      }
      reserved.add(this);
      countByKey.set(id, count + 1);
      this.raw.on('close', () => {
        const left = (countByKey.get(id) ?? 1) - 1;
        if (left === 0) countByKey.delete(id);
        else countByKey.set(id, left);
      });
    });

    app.decorateReply('stream', function stream<Entry>(this: FastifyReply, source: Source<Entry>) {
      this.header('content-type', 'text/event-stream; charset=utf-8')
        .header('cache-control', 'no-store, no-transform')
        .header('x-accel-buffering', 'no');
      // The answer to HEAD has no body.
      if (this.request.method === 'HEAD') return Readable.from([]);
      this.reserveStream();
      const cursor = createCursor(source, () => {
        unwatch();
        open.delete(cursor);
      });
      open.add(cursor);
      const unwatch = app.sessions.onInvalid(this.request.caller, cursor.end);
      // Flushed before the first frame, since Node would otherwise keep the pieces of the head while the stream is open.
      // Handlers return the stream, not the reply, to save memory too: Fastify would wait for the end of a reply.
      this.raw.once('pipe', () => this.raw.flushHeaders());
      return cursor.stream;
    });

    app.decorateReply('streamEvents', function streamEvents(run, after, view) {
      if (run.finished_at !== null && after === run.last_seq) return this.code(204).send(null);
      return this.stream(eventsOf(run.run_id, after, view));
    });

    app.decorateRequest('resumesAfter', async function resumesAfter(run, given = 0) {
      const after = lastEventId(this) ?? given;
      if (after > run.last_seq) {
        throw unknownCursor(`Run ${run.run_id} has ${run.last_seq} events; there is no event ${after}.`, run.last_seq);
      }
      if (after === run.last_seq || run.events_deleted_at === null) return after;
      const first = await app.store.events.firstSeq(run.run_id);
      if (first !== undefined && first <= after + 1) return after;
      const kept = first === undefined ? 'no event is' : `the first kept event is ${first}`;
      throw new AppError('events_expired', `Event ${after + 1} of run ${run.run_id} is no longer kept; ${kept}.`);
    });

    const heartbeat = setInterval(() => {
      for (const cursor of open) cursor.keepAlive();
    }, HEARTBEAT_INTERVAL_MS).unref();

    app.addHook('preClose', async () => {
      clearInterval(heartbeat);
      for (const cursor of open) cursor.end();
    });

    /** Returns the events of a run after a position. */
    function eventsOf(runId: string, after: number, view: EventView): Source<RunEvent> {
      let position = after;
      return {
        opening: view.opening,
        watch: (watcher) => app.eventLog.watch(runId, watcher),
        read: (limit) => app.eventLog.read(runId, position, limit),
        take(event) {
          // Retention deleted the events between. The client reconnects and gets `events_expired`.
          if (event.seq !== position + 1) return undefined;
          position = event.seq;
          return { frame: view.frame(event), last: TERMINAL_EVENTS.has(event.type) };
        },
      };
    }
  },
  { name: 'sse', dependencies: ['store', 'auth'] },
);

function lastEventId(request: FastifyRequest): number | undefined {
  const header = request.headers['last-event-id'];
  if (header === undefined || header === '') return undefined;
  if (typeof header === 'string' && /^(?:0|[1-9]\d{0,14})$/.test(header)) return Number(header);
  throw unknownCursor('Last-Event-ID is not an id of this stream.');
}

/** Status 400 also stops a browser from reconnecting with the same id. */
function unknownCursor(detail: string, lastSeq?: number): AppError {
  const message = lastSeq === undefined ? 'must be the id of an event of this run' : `must be at most ${lastSeq}`;
  return new AppError('cursor_unknown', detail, { errors: [{ path: '/last-event-id', message }] });
}
