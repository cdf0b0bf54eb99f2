import { PullwrightError, unwrap } from '../../client/client.ts';
import { api } from './api.ts';
import { SIGNED_OUT, session, signInNotice } from './session.ts';

export async function loadSession(): Promise<void> {
  session.value = await unwrap(api.GET('/v1/session'));
}

/** @throws PullwrightError when the key is not valid, or the browser rejects the cookie */
export async function signIn(key: string): Promise<void> {
  await createSession(key);
  const current = await unwrap(api.GET('/v1/session'));
  if (!current.signed_in) {
    throw new PullwrightError(0, {
      code: 'cookie_refused',
      title: 'The browser rejected the session cookie',
      detail: 'The key is valid, but the cookie needs HTTPS, except for a server on this machine.',
      remedy: 'Open the dashboard over HTTPS.',
    });
  }
  signInNotice.value = undefined;
  session.value = current;
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
