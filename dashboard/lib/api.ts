import { failureOf, unreachable } from './problem.ts';
import { signedOut } from './session.ts';

type Options = { body?: unknown; headers?: Record<string, string>; signal?: AbortSignal };

/**
 * One request to the API, by the session cookie.
 * @returns the JSON of the answer; the caller names its type
 * @throws RequestFailed
 */
export async function request<T>(method: string, path: string, options: Options = {}): Promise<T> {
  const { body, headers, signal } = options;
  const response = await fetch(path, {
    method,
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    body: body === undefined ? null : JSON.stringify(body),
    cache: 'no-store',
    ...(signal && { signal }),
  }).catch(() => {
    throw unreachable();
  });
  if (response.status === 401 && path !== '/v1/session') signedOut();
  if (!response.ok) throw await failureOf(response);
  if (response.status === 204) return JSON.parse('null');
  return response.json();
}

/** A POST that is done once however often it is sent with the same key. */
export function post<T>(path: string, body: unknown, idempotencyKey: string = crypto.randomUUID()): Promise<T> {
  return request<T>('POST', path, { body, headers: { 'idempotency-key': idempotencyKey } });
}

export function ticketPath(ticketId: string): string {
  return `/v1/tickets/${encodeURIComponent(ticketId)}`;
}
