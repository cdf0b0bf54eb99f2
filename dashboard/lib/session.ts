import { signal } from '@preact/signals';
import type { Scope } from '../../schemas/key.ts';
import type { Action } from '../../schemas/run.ts';
import type { Session } from '../../schemas/session.ts';

/** `undefined` until the server has said who is signed in. */
export const session = signal<Session | undefined>(undefined);

/** Why one has to sign in again, if so. */
export const signInNotice = signal<string | undefined>(undefined);

export const SIGNED_OUT: Session = { signed_in: false, scopes: [] };

export const SCOPE_OF: Record<Action, Scope> = { chat: 'chat', make_plan: 'plan', dev: 'dev' };

/** The session ended from outside: its key was revoked or expired, or its time was up. */
export function endSession(): void {
  if (session.value?.signed_in !== true) return;
  signInNotice.value = 'Your session is over: it expired, or its key was revoked. Sign in to go on where you were.';
  session.value = SIGNED_OUT;
}

/** Tells what the key may do: `admin` includes all, and each but `metrics` includes `read`. */
export function useCan(): (scope: Scope | 'any') => boolean {
  const scopes = session.value?.scopes ?? [];
  return (scope) => scope === 'any' || scopes.includes(scope) || scopes.includes('admin');
}
