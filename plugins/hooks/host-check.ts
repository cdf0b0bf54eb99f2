import fp from 'fastify-plugin';
import { isLoopback } from '../../src/config/loopback.ts';
import { AppError } from '../../src/errors/app-error.ts';

/** Refuses requests with an unknown `Host`, against pages that resolve their own name to this machine (DNS rebinding). */
export default fp(
  async (app) => {
    const { HOST, ALLOWED_HOSTS } = app.config;
    const allowed = new Set(['localhost', '127.0.0.1', '[::1]', HOST.toLowerCase(), ...ALLOWED_HOSTS]);
    // A public server may have any name and is protected by its API keys, unless ALLOWED_HOSTS restricts the names.
    if (!isLoopback(HOST) && ALLOWED_HOSTS.length === 0) return;
    app.addHook('onRequest', async (request, reply) => {
      // Reads the header, since `request.host` may come from X-Forwarded-Host, which a page can set.
      const name = (request.headers.host ?? '').replace(/:\d*$/, '').toLowerCase();
      if (allowed.has(name)) return;
      // Limits the audit entries of a flood.
      await app.limits.countRequest(request, reply);
      throw new AppError(
        'host_not_allowed',
        `The server does not serve the host name ${JSON.stringify(name.slice(0, 100))}.`,
      );
    });
  },
  { name: 'host-check', dependencies: ['config', 'rate-limit'] },
);
