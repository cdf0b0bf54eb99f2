import fp from 'fastify-plugin';

/** Headers of every answer: no other site can read it, and a browser neither frames, sniffs nor runs it. */
const ALWAYS = {
  'content-security-policy': "default-src 'none';frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
};

/** Further headers of HTML pages, with the values of helmet 8 (https://helmetjs.github.io). */
const ON_PAGES = {
  'cross-origin-opener-policy': 'same-origin',
  'origin-agent-cluster': '?1',
  'referrer-policy': 'no-referrer',
  'x-dns-prefetch-control': 'off',
  'x-download-options': 'noopen',
  'x-frame-options': 'SAMEORIGIN',
  'x-permitted-cross-domain-policies': 'none',
  'x-xss-protection': '0',
};

/**
 * Sets security headers. They are constants, since `@fastify/helmet` computes them again for each request and would need
 * as many options to keep the headers of pages from all other answers.
 */
export default fp(
  async (app) => {
    app.addHook('onRequest', (_request, reply, done) => {
      reply.headers(ALWAYS);
      done();
    });
    app.addHook('onSend', (_request, reply, _payload, done) => {
      if (String(reply.getHeader('content-type')).startsWith('text/html')) reply.headers(ON_PAGES);
      done();
    });
  },
  { name: 'security-headers' },
);
