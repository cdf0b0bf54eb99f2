import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import fp from 'fastify-plugin';
import helmet, { type HelmetOptions } from 'helmet';

/**
 * Security headers: nothing that is answered may be framed, sniffed, run as a page, or read by other sites. A page gets
 * also those that tell a browser how to treat pages.
 */
export default fp(
  async (app) => {
    const contentSecurityPolicy = {
      useDefaults: false,
      directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
    };
    const onPages = headersOf({ contentSecurityPolicy: false, strictTransportSecurity: false });
    const always = headersOf({
      contentSecurityPolicy,
      crossOriginOpenerPolicy: false,
      originAgentCluster: false,
      referrerPolicy: false,
      strictTransportSecurity: false,
      xDnsPrefetchControl: false,
      xDownloadOptions: false,
      xFrameOptions: false,
      xPermittedCrossDomainPolicies: false,
      xXssProtection: false,
    });
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
function headersOf(options: HelmetOptions): Record<string, string> {
  const response = new ServerResponse(new IncomingMessage(new Socket()));
  helmet(options)(response.req, response, () => {});
  return Object.fromEntries(Object.entries(response.getHeaders()).map(([name, value]) => [name, String(value)]));
}
