import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import fp from 'fastify-plugin';
import helmet, { type HelmetOptions } from 'helmet';

/** What matters to answers of every kind; the rest of what helmet sets tells a browser how to treat a page. */
const ALWAYS: ReadonlySet<string> = new Set([
  'content-security-policy',
  'cross-origin-resource-policy',
  'x-content-type-options',
]);

/**
 * Security headers: nothing that is answered may be framed, sniffed, run as a page, or read by other sites. A page gets
 * also those for pages.
 */
export default fp(
  async (app) => {
    const headers = headersOf({
      contentSecurityPolicy: {
        useDefaults: false,
        directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
      },
      strictTransportSecurity: false,
    });
    const always = Object.fromEntries(headers.filter(([name]) => ALWAYS.has(name)));
    const onPages = Object.fromEntries(headers.filter(([name]) => !ALWAYS.has(name)));
    app.addHook('onRequest', (_request, reply, done) => {
      reply.headers(always);
      done();
    });
    app.addHook('onSend', (_request, reply, _payload, done) => {
      if (String(reply.getHeader('content-type')).startsWith('text/html')) reply.headers(onPages);
      done();
    });
  },
  { name: 'security-headers' },
);

/** What helmet sets is the same for every answer, so it is asked once. */
function headersOf(options: HelmetOptions): [name: string, value: string][] {
  const response = new ServerResponse(new IncomingMessage(new Socket()));
  helmet(options)(response.req, response, () => {});
  return Object.entries(response.getHeaders()).map(([name, value]) => [name, String(value)]);
}
