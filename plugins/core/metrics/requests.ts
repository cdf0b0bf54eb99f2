import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Metrics } from '../../../src/telemetry/metrics.ts';

/** Counts and times requests by route; labels by URL would grow without limit. */
export function measureRequests(app: FastifyInstance, { requests, requestDuration }: Metrics): void {
  app.addHook('onResponse', (request, reply, done) => {
    const { method } = request;
    const route = routeOf(request);
    requests.inc({ method, route, status: reply.statusCode });
    if (!/^text\/event-stream/.test(String(reply.getHeader('content-type')))) {
      requestDuration.observe({ method, route }, reply.elapsedTime / 1000);
    }
    done();
  });
}

function routeOf(request: FastifyRequest): string {
  return request.is404 ? 'none' : (request.routeOptions.url ?? 'none');
}
