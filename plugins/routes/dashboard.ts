import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fastifyStatic from '@fastify/static';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyReply } from 'fastify';
import { AppError } from '../../src/errors/app-error.ts';

const BUILT = fileURLToPath(new URL('../../dashboard/dist', import.meta.url));

/** The page runs its own scripts and connects to its own server; trusted types keep text from becoming markup. */
const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  // Preact sets single styles through the object model, which the policy allows.
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

/** Serves the page at `/dashboard/` from `dashboard/dist`, which `npm run build` creates. */
export const dashboardRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const page = readPage();
  app.addHook('onRoute', (route) => {
    route.config = { ...route.config, public: true };
  });

  await app.register(fastifyStatic, {
    root: join(BUILT, 'assets'),
    prefix: '/dashboard/assets/',
    decorateReply: false,
    // Names contain a hash of the content.
    immutable: true,
    maxAge: '365d',
    preCompressed: true,
    dotfiles: 'ignore',
  });

  app.get('/dashboard', { schema: { hide: true } }, async (_request, reply) => reply.redirect('/dashboard/', 308));
  // Each screen has its own URL, which the page itself routes.
  app.get('/dashboard/*', { schema: { hide: true } }, async (request, reply) => {
    if (request.accepts().type(['html']) === false)
      throw new AppError('not_found', 'The dashboard has HTML pages only.');
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
