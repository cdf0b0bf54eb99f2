import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fastifyStatic from '@fastify/static';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyReply } from 'fastify';
import { AppError } from '../../src/errors/app-error.ts';

const BUILT = fileURLToPath(new URL('../../dashboard/dist', import.meta.url));

/** The page may run its own scripts and talk to its own server; no text can become markup or a script. */
const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  // Preact sets styles one by one through the object model, which this does not concern.
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

/** The web page at `/dashboard/`, as `npm run build` left it in `dashboard/dist`. */
export const dashboardRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const page = readPage();
  app.addHook('onRoute', (route) => {
    route.config = { ...route.config, public: true };
  });

  await app.register(fastifyStatic, {
    root: join(BUILT, 'assets'),
    prefix: '/dashboard/assets/',
    decorateReply: false,
    // Their names change with what is in them.
    immutable: true,
    maxAge: '365d',
    preCompressed: true,
    dotfiles: 'ignore',
  });

  app.get('/dashboard', { schema: { hide: true } }, async (_request, reply) => reply.redirect('/dashboard/', 308));
  // Each screen has an address of its own, and the page finds out which is meant.
  app.get('/dashboard/*', { schema: { hide: true } }, async (request, reply) => {
    if (request.accepts().type(['html']) === false)
      throw new AppError('not_found', 'Nothing of the dashboard is here.');
    return sendPage(reply);
  });

  function sendPage(reply: FastifyReply): FastifyReply {
    if (page === undefined) {
      throw new AppError('not_found', 'The dashboard is not built.', { remedy: 'Run `npm run build`.' });
    }
    return reply
      .header('content-security-policy', PAGE_POLICY)
      .header('cache-control', 'no-cache')
      .type('text/html; charset=utf-8')
      .send(page);
  }
};

function readPage(): string | undefined {
  try {
    return readFileSync(join(BUILT, 'index.html'), 'utf8');
  } catch {
    return undefined;
  }
}
