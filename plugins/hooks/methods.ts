import type { FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { AppError } from '../../src/errors/app-error.ts';

type Resource = { pattern: RegExp; methods: Set<string> };

/**
 * Answers requests that no route takes: OPTIONS with the methods of the resource (RFC 9110 §9.3.7), a method that it does
 * not have with 405 (§15.5.6), a path that is no resource with 404. Node's parser refuses the methods that it does not know.
 */
export default fp(
  async (app) => {
    const resources = new Map<string, Resource>();
    app.addHook('onRoute', ({ url, method, routePath }) => {
      // Fastify makes two routes of the root of a prefix, and announces one.
      for (const each of routePath === '' ? [url, `${url}/`] : [url]) {
        const resource = resources.get(each) ?? { pattern: patternOf(each), methods: new Set(['OPTIONS']) };
        for (const name of [method].flat()) resource.methods.add(name);
        resources.set(each, resource);
      }
    });

    /** Methods of the resource that a path names; none when it names none. `*` is the whole server (RFC 9110 §9.3.7). */
    function methodsAt(path: string): Set<string> {
      const named = [...resources.values()].filter(({ pattern }) => path === '*' || pattern.test(path));
      return new Set(named.flatMap(({ methods }) => [...methods]).sort());
    }

    // Before a body is read, which the resource need not take.
    app.addHook('onRequest', async (request, reply) => {
      if (!request.is404) return undefined;
      return answer(request, reply, methodsAt(request.url.split('?', 1)[0] ?? ''));
    });
  },
  { name: 'methods', dependencies: ['auth'] },
);

function answer({ method }: FastifyRequest, reply: FastifyReply, methods: Set<string>): FastifyReply {
  if (methods.size === 0) throw new AppError('not_found', `No route answers ${method} here.`);
  const allowed = [...methods].join(', ');
  reply.header('allow', allowed);
  if (method === 'OPTIONS') return reply.code(204).send(null);
  throw new AppError('method_not_allowed', `${method} is not allowed here; allowed are ${allowed}.`);
}

/** The paths that a URL of a route stands for: `:name` is a segment, `*` at the end is whatever follows. */
function patternOf(url: string): RegExp {
  const pattern = url.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replace(/:\w+/g, '[^/]+');
  return new RegExp(`^${pattern.replace(/\*$/, '.*')}$`);
}
