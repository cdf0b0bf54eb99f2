import fp from 'fastify-plugin';
import type { Redactor } from '../../src/redaction/redactor.ts';

declare module 'fastify' {
  interface FastifyInstance {
    redactor: Redactor;
  }
}

/** `app.redactor`. No answer holds a secret of the server, whatever a workspace, an agent or GitHub put into it. */
export default fp<{ redactor: Redactor }>(
  async (app, { redactor }) => {
    app.decorate('redactor', redactor);
    app.addHook('preSerialization', (_request, _reply, payload, done) =>
      done(null, typeof payload === 'object' && payload !== null ? redactor.value(payload) : payload),
    );
    app.addHook('onSend', (_request, reply, payload, done) => {
      // JSON has been through the hook before; masked as text, it might not be JSON any more.
      const isText = typeof payload === 'string' && !/json/.test(String(reply.getHeader('content-type')));
      done(null, isText ? redactor.text(payload) : payload);
    });
  },
  { name: 'redaction' },
);
