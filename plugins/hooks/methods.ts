import type { FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { AppError } from '../../src/errors/app-error.ts';

type Resource = { pattern: RegExp; methods: Set<string> };

/**
 * Answers requests without a route: OPTIONS with the methods of the resource (RFC 9110 §9.3.7), other methods with 405
 * (§15.5.6), unknown paths with 404. Node's parser rejects unknown methods.
 */
export default fp(
  async (app) => {
    const resources = new Map<string, Resource>();
    app.addHook('onRoute', ({ url, method, routePath }) => {
      // Fastify creates two routes for the root of a prefix and calls this hook for one.
      for (const each of routePath === '' ? [url, `${url}/`] : [url]) {
        const resource = resources.get(each) ?? { pattern: patternOf(each), methods: new Set(['OPTIONS']) };
        for (const name of [method].flat()) resource.methods.add(name);
        resources.set(each, resource);
      }
    });

    /** Returns the methods of the resource at a path, empty if there is none; `*` is the whole server (RFC 9110 §9.3.7). */
    function methodsAt(path: string): Set<string> {
      const matching = [...resources.values()].filter(({ pattern }) => path === '*' || pattern.test(path));
      return new Set(matching.flatMap(({ methods }) => [...methods]).sort());
    }

    // In this hook, before the body is read.
    app.addHook('onRequest', async (request, reply) => {
      if (!request.is404) return undefined;
      return answer(request, reply, methodsAt(request.url.split('?', 1)[0] ?? ''));
    });
  },
  { name: 'methods', dependencies: ['auth'] },
);

function answer({ method }: FastifyRequest, reply: FastifyReply, methods: Set<string>): FastifyReply {
  if (methods.size === 0) throw new AppError('not_found', `There is no route for ${method} at this path.`);
  const allowed = [...methods].join(', ');
  reply.header('allow', allowed);
  if (method === 'OPTIONS') return reply.code(204).send(null);
  throw new AppError('method_not_allowed', `${method} is not allowed here; allowed are ${allowed}.`);
}

/** Converts the URL of a route to a pattern of paths: `:name` is a segment, a final `*` any suffix. */
function patternOf(url: string): RegExp {
  const pattern = url.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replace(/:\w+/g, '[^/]+');
  return new RegExp(`^${pattern.replace(/\*$/, '.*')}$`);
}
