import type { FastifyReply } from 'fastify';
import { AppError } from '../../src/errors/app-error.ts';

/** Returns a signal that aborts when the client disconnects before it receives a response, or when the server stops. */
export function disconnectSignal(reply: FastifyReply): AbortSignal {
  const disconnected = new AbortController();
  reply.raw.once('close', () =>
    disconnected.abort(new AppError('canceled', 'The client disconnected before it received a response.')),
  );
  return AbortSignal.any([disconnected.signal, reply.server.closing]);
}
