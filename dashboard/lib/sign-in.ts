import { PullwrightError, unwrap } from '../../client/client.ts';
import { api } from './api.ts';
import { SIGNED_OUT, session, signInNotice } from './session.ts';

export async function loadSession(): Promise<void> {
  session.value = await unwrap(api.GET('/v1/session'));
}

/** @throws PullwrightError when the key is not valid, or the browser did not keep the cookie */
export async function signIn(key: string): Promise<void> {
  await createSession(key);
  const now = await unwrap(api.GET('/v1/session'));
  if (!now.signed_in) {
    throw new PullwrightError(0, {
      code: 'cookie_refused',
      title: 'The browser did not keep the session',
      detail: 'The key is right, but a session needs HTTPS, or a server on this machine.',
    });
  }
  signInNotice.value = undefined;
  session.value = now;
}

/** Exchanges a key for the session cookie. */
export async function createSession(key: string): Promise<void> {
  await unwrap(api.POST('/v1/session', { headers: { 'x-api-key': key } }));
}

export async function signOut(): Promise<void> {
  await unwrap(api.DELETE('/v1/session'));
  signInNotice.value = undefined;
  session.value = SIGNED_OUT;
}
