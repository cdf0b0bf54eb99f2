import { createClient, PullwrightError } from '../../client/client.ts';
import { endSession } from './session.ts';

/** The API of the server that the page came from, by the session cookie. A server that does not answer is status 0. */
export const api = createClient({
  baseUrl: location.origin,
  async fetch(input, init) {
    const response = await fetch(input, { ...init, cache: 'no-store' }).catch(() => {
      throw new PullwrightError(0, {
        code: 'unreachable',
        title: 'The server does not answer',
        detail: 'The request did not get through. Check that the server runs.',
      });
    });
    if (response.status === 401 && new URL(response.url).pathname !== '/v1/session') endSession();
    return response;
  },
});

/** Headers of a request that is carried out once, however often it is sent with the same key. */
export function idempotencyHeader(key: string = crypto.randomUUID()): { 'idempotency-key': string } {
  return { 'idempotency-key': key };
}
