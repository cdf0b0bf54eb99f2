import type { Session } from '../../schemas/session.ts';
import { request } from './api.ts';
import { RequestFailed } from './problem.ts';
import { NOBODY, session, signInNotice } from './session.ts';

export async function lookWhoIsSignedIn(): Promise<void> {
  session.set(await request<Session>('GET', '/v1/session'));
}

/** @throws RequestFailed when the key is not valid, or the browser did not keep the cookie */
export async function signIn(key: string): Promise<void> {
  await request<Session>('POST', '/v1/session', { headers: { 'x-api-key': key } });
  const now = await request<Session>('GET', '/v1/session');
  if (!now.signed_in) {
    throw new RequestFailed({
      type: 'about:blank',
      status: 0,
      code: 'cookie_refused',
      title: 'The browser did not keep the session',
      detail: 'The key is right, but a session needs HTTPS, or a server on this machine.',
    });
  }
  signInNotice.set(undefined);
  session.set(now);
}

export async function signOut(): Promise<void> {
  await request('DELETE', '/v1/session');
  signInNotice.set(undefined);
  session.set(NOBODY);
}
