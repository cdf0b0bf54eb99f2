import helmet from '@fastify/helmet';
import fp from 'fastify-plugin';

/** Security headers for an API: nothing it answers may be framed, sniffed or run as a page. */
export default fp(
  async (app) => {
    await app.register(helmet, {
      contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
      strictTransportSecurity: false,
    });
  },
  { name: 'security-headers' },
);
