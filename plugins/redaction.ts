import fp from 'fastify-plugin';
import type { Redactor } from '../src/redaction/redactor.ts';

declare module 'fastify' {
  interface FastifyInstance {
    redactor: Redactor;
  }
}

/** `app.redactor`. No answer holds a secret of the server, whatever a workspace, an agent or GitHub put into it. */
export default fp<{ redactor: Redactor }>(
  async (app, { redactor }) => {
    app.decorate('redactor', redactor);
    app.addHook('preSerialization', async (_request, _reply, payload) =>
      typeof payload === 'object' && payload !== null ? redactor.value(payload) : payload,
    );
    app.addHook('onSend', async (_request, reply, payload) =>
      // JSON has been through the hook before; masked as text, it might not be JSON any more.
      typeof payload === 'string' && !/json/.test(String(reply.getHeader('content-type')))
        ? redactor.text(payload)
        : payload,
    );
  },
  { name: 'redaction' },
);
