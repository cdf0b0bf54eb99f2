import { createHash } from 'node:crypto';
import type { FastifyReply, FastifyRequest, FastifySchema, RouteOptions } from 'fastify';
import fp from 'fastify-plugin';
import { IdempotencyHeaders } from '../../schemas/common.ts';
import { AppError } from '../../src/errors/app-error.ts';
import type { IdempotencyRow } from '../../src/store/idempotency.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /**
     * The record of the request's Idempotency-Key: what starts a run ties the run to `id`. `runId` is the run that an
     * earlier request with the same key started.
     */
    idempotency?: { id: string; runId?: string };
  }
  interface FastifyContextConfig {
    /** The answer holds a secret that is shown once: it is not kept, and a repetition is told so. */
    secretResponse?: true;
  }
}

/** How long a key is remembered. */
const KEPT_MS = 24 * 60 * 60 * 1000;

/** What belongs to an answer, beside its status and body. */
const KEPT_HEADERS = ['content-type', 'etag', 'link', 'location', 'x-run-id'];

/**
 * `Idempotency-Key` on every POST (https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/): a request
 * that is repeated with its key is answered what it was answered first, and does nothing a second time. A record without
 * an answer that no request of this process works on was left by a server that died: the request is carried out again,
 * which finds the run that it started, and is harmless for all else.
 */
export default fp(
  async (app) => {
    const records = app.store.idempotency;
    /** Fingerprints of what is being carried out, by record. */
    const underway = new Map<string, string>();
    const held = new WeakMap<FastifyRequest, string>();

    app.addHook('onRoute', (route) => {
      if (!takesKeys(route)) return;
      route.schema = withHeader(route.schema);
      route.preHandler = [begin, ...[route.preHandler ?? []].flat()];
      route.onSend = [finish, ...[route.onSend ?? []].flat()];
    });

    async function begin(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> {
      const header = request.headers['idempotency-key'];
      if (header === undefined) return undefined;
      const id = recordOf(request, readKey(String(header)));
      const fingerprint = fingerprintOf(request);
      const other = underway.get(id);
      if (other !== undefined) throw other === fingerprint ? inProgress() : reused();
      underway.set(id, fingerprint);
      let known: IdempotencyRow | undefined;
      try {
        known = await records.begin(id, fingerprint, new Date(Date.now() - KEPT_MS).toISOString());
        if (known !== undefined && known.fingerprint !== fingerprint) throw reused();
      } catch (error) {
        underway.delete(id);
        throw error;
      }
      if (known?.run_id) {
        request.audit({ run_id: known.run_id });
        reply.header('idempotent-replayed', 'true');
      }
      if (known !== undefined && known.status !== null) {
        underway.delete(id);
        return repeat(known, known.status, reply);
      }
      held.set(request, id);
      request.idempotency = { id, ...(known?.run_id ? { runId: known.run_id } : {}) };
      return undefined;
    }

    async function finish(request: FastifyRequest, reply: FastifyReply, payload: unknown): Promise<unknown> {
      const id = request.idempotency === undefined ? undefined : held.get(request);
      if (id === undefined) return payload;
      held.delete(request);
      try {
        await keep(id, request, reply, payload);
      } catch (error) {
        request.log.error({ err: error }, 'the answer to an Idempotency-Key was not recorded');
      }
      underway.delete(id);
      return payload;
    }

    /** Before the answer leaves: what a client has seen is what it will see again. */
    async function keep(id: string, request: FastifyRequest, reply: FastifyReply, payload: unknown): Promise<void> {
      const { statusCode } = reply;
      // The run is the answer; what one repetition sees of it, from its own place of the stream, is not that of the next.
      if (request.idempotency?.runId !== undefined) return;
      // What may go better another time is to be tried another time.
      if (statusCode >= 500 || request.problem?.retryable === true) return records.release(id);
      // A stream is a view of the run that the record names.
      if (typeof payload !== 'string' && payload !== undefined && payload !== null) return;
      const headers = KEPT_HEADERS.flatMap((name) => {
        const value = reply.getHeader(name);
        return value === undefined ? [] : [[name, String(value)]];
      });
      const secret = statusCode < 300 && request.routeOptions.config.secretResponse === true;
      return records.finish(id, {
        status: statusCode,
        headers: JSON.stringify(Object.fromEntries(headers)),
        body: secret ? null : (payload ?? ''),
      });
    }
  },
  { name: 'idempotency', dependencies: ['store', 'auth', 'audit-log', 'repository-limits'] },
);

function repeat({ headers, body }: IdempotencyRow, status: number, reply: FastifyReply): FastifyReply {
  if (body === null) {
    throw new AppError('secret_shown_once', 'The request was carried out; the secret was in its first answer alone.');
  }
  return reply
    .code(status)
    .headers(JSON.parse(headers ?? '{}'))
    .header('idempotent-replayed', 'true')
    .serializer(String)
    .send(body);
}

function takesKeys({ method, config }: Pick<RouteOptions, 'method' | 'config'>): boolean {
  return [method].flat().includes('POST') && config?.public !== true;
}

function withHeader(schema: FastifySchema = {}): FastifySchema {
  return { headers: IdempotencyHeaders, ...schema };
}

/** The key, which clients send as a string of RFC 9651 in quotes, or bare. */
function readKey(header: string): string {
  const quoted = /^"(?<text>(?:[ !#-[\]-~]|\\["\\])*)"$/.exec(header)?.groups?.text?.replace(/\\(.)/g, '$1');
  const key = quoted ?? header;
  const isHalfQuoted = quoted === undefined && header.startsWith('"');
  if (/^[ -~]{1,255}$/.test(key) && !isHalfQuoted) return key;
  throw new AppError('invalid_request', 'The Idempotency-Key is not valid.', {
    errors: [{ path: '/idempotency-key', message: 'must be 1 to 255 printable ASCII characters, bare or in quotes' }],
  });
}

/** One caller's key means nothing to another caller, nor to another route. */
function recordOf({ caller, method, routeOptions }: FastifyRequest, key: string): string {
  return hash([caller.id, method, routeOptions.url, key]);
}

function fingerprintOf({ method, url, body }: FastifyRequest): string {
  return hash([method, url, canonical(body)]);
}

/** The same value for the same JSON, in whatever order its fields come. */
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value !== 'object' || value === null) return value;
  return Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, field]) => [name, canonical(field)]);
}

function hash(parts: unknown[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

function inProgress(): AppError {
  return new AppError('idempotency_in_progress', 'A request with this Idempotency-Key is being carried out.', {
    retryAfter: 1,
  });
}

function reused(): AppError {
  return new AppError('idempotency_key_reused', 'This Idempotency-Key came with another request before.');
}
