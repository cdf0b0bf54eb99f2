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
    /** How many streams of events are open. */
    openStreams(): number;
    /** Schema of what a handler returns of `reply.stream()` and `reply.streamEvents()`. */
    eventStream: TUnsafe<Readable>;
  }
  interface FastifyRequest {
    /**
     * `seq` of the last event of a run that the client has, by `Last-Event-ID`, or without it by `after`.
     * @throws AppError `cursor_unknown` for one that the run does not have, `events_expired` when what follows is gone
     */
    resumesAfter(run: RunRow, after?: number): Promise<number>;
  }
  interface FastifyReply {
    /**
     * The answer to return, which streams what a source holds as `text/event-stream`
     * (https://html.spec.whatwg.org/multipage/server-sent-events.html) until it ends.
     */
    stream<Entry>(source: Source<Entry>): Readable;
    /**
     * The answer to return, which streams a run's events until the terminal one; 204, which keeps a reader from coming
     * back, when it has that one.
     * @param after `seq` of the last event the client has
     * @param view turns events into frames
     */
    streamEvents(run: RunRow, after: number, view: EventView): Readable | FastifyReply;
    /**
     * Takes one of the streams that the caller's key may have open, until the answer has ended. `stream` does so itself; a
     * route that does something first asks for it before.
     * @throws AppError `too_many_streams`
     */
    reserveStream(): void;
  }
}

/** What says nothing for this long is closed by many a proxy; one timer for all streams takes no memory of each. */
const HEARTBEAT_MS = 15_000;

/** Frames of one stream: what opens it, and what each event looks like in it. */
export type EventView = { opening: string; frame(event: RunEvent): string };

/**
 * `reply.stream()` and `reply.streamEvents()`. A stream is a cursor: it reads on when the client wants more, so a stalled
 * client holds no buffer, and leaving never touches the run. Open streams end when the server stops, and with the key that
 * opened them.
 */
export default fp(
  async (app) => {
    const open = new Set<Cursor>();
    app.decorate('openStreams', () => open.size);
    app.decorate('eventStream', Type.Unsafe<Readable>({ type: 'string' }));
    const held = new Map<string, number>();
    const holding = new WeakSet<FastifyReply>();

    app.decorateReply('reserveStream', function reserveStream() {
      if (holding.has(this)) return;
      const { id } = this.request.caller;
      const count = held.get(id) ?? 0;
      if (count >= app.config.MAX_STREAMS_PER_KEY) {
        throw new AppError('too_many_streams', `The key has ${count} streams open already.`, { retryAfter: 30 });
      }
      holding.add(this);
      held.set(id, count + 1);
      this.raw.on('close', () => {
        const left = (held.get(id) ?? 1) - 1;
        if (left === 0) held.delete(id);
        else held.set(id, left);
      });
    });

    app.decorateReply('stream', function stream<Entry>(this: FastifyReply, source: Source<Entry>) {
      this.header('content-type', 'text/event-stream; charset=utf-8')
        .header('cache-control', 'no-store, no-transform')
        .header('x-accel-buffering', 'no');
      // Nobody reads the stream of a HEAD.
      if (this.request.method === 'HEAD') return Readable.from([]);
      this.reserveStream();
      const cursor = createCursor(source, () => {
        unwatch();
        open.delete(cursor);
      });
      open.add(cursor);
      const unwatch = app.sessions.whenOver(this.request.caller, cursor.end);
      // With the first frame, Node would keep the head in its many pieces for as long as the stream is open. For the same
      // reason a handler returns the stream: one that returned the reply would wait for its end.
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
        throw unknown(`Run ${run.run_id} has ${run.last_seq} events; there is none ${after}.`, run.last_seq);
      }
      if (after === run.last_seq || run.events_deleted_at === null) return after;
      const first = await app.store.events.firstSeq(run.run_id);
      if (first !== undefined && first <= after + 1) return after;
      const kept = first === undefined ? 'none is kept' : `the first that is kept is ${first}`;
      throw new AppError('events_expired', `Event ${after + 1} of run ${run.run_id} is not kept any more; ${kept}.`);
    });

    const heartbeat = setInterval(() => {
      for (const cursor of open) cursor.beat();
    }, HEARTBEAT_MS).unref();

    app.addHook('preClose', async () => {
      clearInterval(heartbeat);
      for (const cursor of open) cursor.end();
    });

    /** The events of a run, from a position on. */
    function eventsOf(runId: string, after: number, view: EventView): Source<RunEvent> {
      let position = after;
      return {
        opening: view.opening,
        watch: (watcher) => app.eventLog.watch(runId, watcher),
        read: (limit) => app.eventLog.read(runId, position, limit),
        take(event) {
          // What is between was removed meanwhile: the client comes back and is told so.
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
  throw unknown('Last-Event-ID is not an id of this stream.');
}

/** 400 also ends the attempts of a browser, as it should: the same id is no better the next time. */
function unknown(detail: string, lastSeq?: number): AppError {
  const message = lastSeq === undefined ? 'must be the id of an event of this run' : `must be at most ${lastSeq}`;
  return new AppError('cursor_unknown', detail, { errors: [{ path: '/last-event-id', message }] });
}
