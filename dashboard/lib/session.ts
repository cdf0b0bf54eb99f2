import { signal } from '@preact/signals';
import type { Scope } from '../../schemas/key.ts';
import type { Action } from '../../schemas/run.ts';
import type { Session } from '../../schemas/session.ts';

/** The session as reported by the server; `undefined` before its first answer. */
export const session = signal<Session | undefined>(undefined);

/** The reason to sign in again, for the sign-in form. */
export const signInNotice = signal<string | undefined>(undefined);

export const SIGNED_OUT: Session = { signed_in: false, scopes: [] };

export const SCOPE_OF: Record<Action, Scope> = { chat: 'chat', make_plan: 'plan', dev: 'dev' };

/** Handles a session that the server no longer accepts. */
export function endSession(): void {
  if (session.value?.signed_in !== true) return;
  signInNotice.value = 'Your session has ended: it expired, or its key was revoked. Sign in again to continue.';
  session.value = SIGNED_OUT;
}

/** Returns a check of the caller's scopes. `admin` includes every scope. */
export function useCan(): (scope: Scope | 'any') => boolean {
  const scopes = session.value?.scopes ?? [];
  return (scope) => scope === 'any' || scopes.includes(scope) || scopes.includes('admin');
}
