import fp from 'fastify-plugin';
import { isLoopback } from '../../src/config/loopback.ts';
import { AppError } from '../../src/errors/app-error.ts';

/**
 * Refuses requests that name another host than the ones served, so that a page that points its own name at this
 * machine (DNS rebinding) cannot talk to the server.
 */
export default fp(
  async (app) => {
    const { HOST, ALLOWED_HOSTS } = app.config;
    const known = new Set(['localhost', '127.0.0.1', '[::1]', HOST.toLowerCase(), ...ALLOWED_HOSTS]);
    // Behind a public address any name may lead here, and the API key protects; ALLOWED_HOSTS narrows it down.
    if (!isLoopback(HOST) && ALLOWED_HOSTS.length === 0) return;
    app.addHook('onRequest', async (request, reply) => {
      // The header itself: `request.host` may be what a proxy, or a page that plays one, says it was.
      const name = (request.headers.host ?? '').replace(/:\d*$/, '').toLowerCase();
      if (known.has(name)) return;
      // A flood is not to fill the audit log.
      await app.limits.request(request, reply);
      throw new AppError('host_not_allowed', `The name ${JSON.stringify(name.slice(0, 100))} is not served.`);
    });
  },
  { name: 'host-check', dependencies: ['config', 'rate-limit'] },
);
