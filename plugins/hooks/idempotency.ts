import { createHash } from 'node:crypto';
import type { FastifyReply, FastifyRequest, FastifySchema, RouteOptions } from 'fastify';
import fp from 'fastify-plugin';
import { IdempotencyHeaders } from '../../schemas/common.ts';
import { AppError } from '../../src/errors/app-error.ts';
import type { IdempotencyRow } from '../../src/store/idempotency.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /**
     * Record of the Idempotency-Key. A route that starts a run links it to `id`. `runId` is the run of an earlier request with
     * the same key.
     */
    idempotency?: { id: string; runId?: string };
  }
  interface FastifyContextConfig {
    /** The answer holds a secret, so it is not stored; a repeated request gets an error. */
    secretResponse?: true;
  }
}

const RETENTION_MS = 24 * 60 * 60 * 1000;

const STORED_HEADERS = ['content-type', 'etag', 'link', 'location', 'x-run-id'];

/**
 * Implements `Idempotency-Key` for POST (https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/). A repeated
 * request gets the stored answer of the first one and has no further effect. A record without an answer is that of a running
 * request, or of one that a crash interrupted. An interrupted request runs again: it finds the run that it started, and
 * is harmless otherwise.
 */
export default fp(
  async (app) => {
    const records = app.store.idempotency;
    /** Fingerprints of running requests, by record. */
    const running = new Map<string, string>();
    const recordIds = new WeakMap<FastifyRequest, string>();

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
      const other = running.get(id);
      if (other !== undefined) throw other === fingerprint ? inProgress() : reused();
      running.set(id, fingerprint);
      let record: IdempotencyRow | undefined;
      try {
        record = await records.begin(id, fingerprint, new Date(Date.now() - RETENTION_MS).toISOString());
        if (record !== undefined && record.fingerprint !== fingerprint) throw reused();
      } catch (error) {
        running.delete(id);
        throw error;
      }
      if (record?.run_id) {
        request.audit({ run_id: record.run_id });
        reply.header('idempotent-replayed', 'true');
      }
      if (record !== undefined && record.status !== null) {
        running.delete(id);
        return replay(record, record.status, reply);
      }
      recordIds.set(request, id);
      request.idempotency = { id, ...(record?.run_id ? { runId: record.run_id } : {}) };
      return undefined;
    }

    async function finish(request: FastifyRequest, reply: FastifyReply, payload: unknown): Promise<unknown> {
      const id = request.idempotency === undefined ? undefined : recordIds.get(request);
      if (id === undefined) return payload;
      recordIds.delete(request);
      try {
        await storeAnswer(id, request, reply, payload);
      } catch (error) {
        request.log.error({ err: error }, 'failed to store the answer to an Idempotency-Key');
      }
      running.delete(id);
      return payload;
    }

    /** Stores the answer before it is sent, so that a client never sees an answer that is not stored. */
    async function storeAnswer(
      id: string,
      request: FastifyRequest,
      reply: FastifyReply,
      payload: unknown,
    ): Promise<void> {
      const { statusCode } = reply;
      // The record names the run already. Each repeated request streams it from another position.
      if (request.idempotency?.runId !== undefined) return;
      // A retry may succeed.
      if (statusCode >= 500 || request.problem?.retryable === true) return records.release(id);
      // A stream is not stored: the record names its run.
      if (typeof payload !== 'string' && payload !== undefined && payload !== null) return;
      const headers = STORED_HEADERS.flatMap((name) => {
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

function replay({ headers, body }: IdempotencyRow, status: number, reply: FastifyReply): FastifyReply {
  if (body === null) {
    throw new AppError(
      'secret_shown_once',
      'The request has succeeded already. Only its first answer held the secret.',
    );
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

/** Parses the key, either a string in quotes (RFC 9651) or bare. */
function readKey(header: string): string {
  const quoted = /^"(?<text>(?:[ !#-[\]-~]|\\["\\])*)"$/.exec(header)?.groups?.text?.replace(/\\(.)/g, '$1');
  const key = quoted ?? header;
  const isHalfQuoted = quoted === undefined && header.startsWith('"');
  if (/^[ -~]{1,255}$/.test(key) && !isHalfQuoted) return key;
  throw new AppError('invalid_request', 'The Idempotency-Key is not valid.', {
    errors: [{ path: '/idempotency-key', message: 'must be 1 to 255 printable ASCII characters, bare or in quotes' }],
  });
}

/** Scopes the key to the caller and the route. */
function recordOf({ caller, method, routeOptions }: FastifyRequest, key: string): string {
  return hash([caller.id, method, routeOptions.url, key]);
}

function fingerprintOf({ method, url, body }: FastifyRequest): string {
  return hash([method, url, canonical(body)]);
}

/** Sorts the fields of a JSON value. */
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
  return new AppError('idempotency_in_progress', 'A request with this Idempotency-Key is still running.', {
    retryAfter: 1,
  });
}

function reused(): AppError {
  return new AppError('idempotency_key_reused', 'This Idempotency-Key was used for another request.');
}
