import fp from 'fastify-plugin';
import type { Redactor } from '../../src/redaction/redactor.ts';

declare module 'fastify' {
  interface FastifyInstance {
    redactor: Redactor;
  }
}

/** Decorates `app.redactor` and redacts secrets of the server in every answer. */
export default fp<{ redactor: Redactor }>(
  async (app, { redactor }) => {
    app.decorate('redactor', redactor);
    app.addHook('preSerialization', (_request, _reply, payload, done) =>
      done(null, typeof payload === 'object' && payload !== null ? redactor.value(payload) : payload),
    );
    app.addHook('onSend', (_request, reply, payload, done) => {
      // `preSerialization` has redacted JSON already; redacted as text, it might no longer be valid JSON.
      const isText = typeof payload === 'string' && !/json/.test(String(reply.getHeader('content-type')));
      done(null, isText ? redactor.text(payload) : payload);
    });
  },
  { name: 'redaction' },
);
