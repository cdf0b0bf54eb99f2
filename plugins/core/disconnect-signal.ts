import type { FastifyReply } from 'fastify';
import { AppError } from '../../src/errors/app-error.ts';

/** Returns a signal that is aborted when the client of a request leaves before its answer, or the server stops. */
export function disconnectSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort(new AppError('canceled', 'The client left before its answer.')));
  return AbortSignal.any([gone.signal, reply.server.closing]);
}
