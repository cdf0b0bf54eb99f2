import { createClient, PullwrightError } from '../../client/client.ts';
import { endSession } from './session.ts';

/** The API of the server that served the page, authenticated by the session cookie. Status 0 is a network error. */
export const api = createClient({
  baseUrl: location.origin,
  async fetch(input, init) {
    const response = await fetch(input, { ...init, cache: 'no-store' }).catch(() => {
      throw new PullwrightError(0, {
        code: 'unreachable',
        title: 'Cannot reach the server',
        detail: 'Check your network connection and that the server is running.',
      });
    });
    if (response.status === 401 && new URL(response.url).pathname !== '/v1/session') endSession();
    return response;
  },
});

/** Returns the header of a request that the server carries out once, however often it arrives with this key. */
export function idempotencyHeader(key: string = crypto.randomUUID()): { 'idempotency-key': string } {
  return { 'idempotency-key': key };
}
