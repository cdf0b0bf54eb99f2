import type { FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';

declare module 'fastify' {
  interface FastifyRequest {
    /** Notes for the audit log what a request made. */
    audit(subject: Subject): void;
  }
}

type Subject = { ticket_id?: string; run_id?: string; key_id?: string };

const READS = new Set(['GET', 'HEAD', 'OPTIONS']);
const DENIED = new Set([401, 403]);

/**
 * Writes down who did what: each request that changes something and had a valid key, and each that was refused for the
 * lack of one or of a right. Requests over a limit of their key or address are not, or a flood would fill the store. An entry is
 * handed to the store when the answer begins, and nobody waits for it.
 */
export default fp(
  async (app) => {
    const subjects = new WeakMap<FastifyRequest, Subject>();
    app.decorateRequest('audit', function audit(subject) {
      subjects.set(this, { ...subjects.get(this), ...subject });
    });

    app.addHook('onSend', (request, reply, _payload, done) => {
      if (isWorthNoting(request, reply)) note(request, reply);
      done();
    });

    function note(request: FastifyRequest, reply: FastifyReply): void {
      const { method, ip, caller, routeOptions } = request;
      const about = { ...named(request.body), ...named(request.params), ...subjects.get(request) };
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
        .catch((error) => request.log.error({ err: error }, 'an entry of the audit log was not written'));
    }
  },
  { name: 'audit-log', dependencies: ['store', 'auth'] },
);

function isWorthNoting(request: FastifyRequest, { statusCode }: FastifyReply): boolean {
  if (request.is404 || request.problem?.code === 'rate_limited') return false;
  if (DENIED.has(statusCode)) return true;
  return !READS.has(request.method) && request.caller.scopes.length > 0;
}

/** Ids that a request names; those of a refused one were not checked, so no more than a part of them is kept. */
function named(source: unknown): Subject {
  const found: Subject = {};
  if (typeof source !== 'object' || source === null) return found;
  for (const [name, value] of Object.entries(source)) {
    if (typeof value !== 'string') continue;
    if (name === 'ticket_id' || name === 'run_id' || name === 'key_id') found[name] = value.slice(0, 64);
  }
  return found;
}
