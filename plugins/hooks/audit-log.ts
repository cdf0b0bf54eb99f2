import type { FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';

declare module 'fastify' {
  interface FastifyRequest {
    /** Adds the subject of a request, such as a run that it created, to its audit entry. */
    audit(subject: Subject): void;
  }
}

type Subject = { ticket_id?: string; run_id?: string; key_id?: string };

const READS = new Set(['GET', 'HEAD', 'OPTIONS']);
const DENIED = new Set([401, 403]);

/**
 * Records changes and refused requests in the audit log: each request with a valid key that can change something, and each
 * request without a valid key or the scope. Rate-limited requests are left out, since a flood would fill the store.
 * Entries are written in the background when the answer starts.
 */
export default fp(
  async (app) => {
    const subjects = new WeakMap<FastifyRequest, Subject>();
    app.decorateRequest('audit', function audit(subject) {
      subjects.set(this, { ...subjects.get(this), ...subject });
    });

    app.addHook('onSend', (request, reply, _payload, done) => {
      if (isAudited(request, reply)) record(request, reply);
      done();
    });

    function record(request: FastifyRequest, reply: FastifyReply): void {
      const { method, ip, caller, routeOptions } = request;
      const about = { ...idsIn(request.body), ...idsIn(request.params), ...subjects.get(request) };
      app.store.audit
        .append({
          time: new Date().toISOString(),
          actor: caller.id,
          address: ip,
          method,
          operation: routeOptions.schema?.operationId ?? routeOptions.url ?? '',
          ticket_id: about.ticket_id ?? null,
          run_id: about.run_id ?? null,
          key_id: about.key_id ?? null,
          status: reply.statusCode,
          code: request.problem?.code ?? null,
        })
        .catch((error) => request.log.error({ err: error }, 'failed to write an audit entry'));
    }
  },
  { name: 'audit-log', dependencies: ['store', 'auth'] },
);

function isAudited(request: FastifyRequest, { statusCode }: FastifyReply): boolean {
  if (request.is404 || request.problem?.code === 'rate_limited') return false;
  if (DENIED.has(statusCode)) return true;
  return !READS.has(request.method) && request.caller.scopes.length > 0;
}

/** Returns the ids in a request, cut, since those of a refused request are not validated. */
function idsIn(source: unknown): Subject {
  const found: Subject = {};
  if (typeof source !== 'object' || source === null) return found;
  for (const [name, value] of Object.entries(source)) {
    if (typeof value !== 'string') continue;
    if (name === 'ticket_id' || name === 'run_id' || name === 'key_id') found[name] = value.slice(0, 64);
  }
  return found;
}
