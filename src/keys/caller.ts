import type { Scope } from '../../schemas/key.ts';
import type { Action } from '../../schemas/run.ts';
import { AppError } from '../errors/app-error.ts';

/** The key, session or local user behind a request, and its permissions. */
export type Caller = {
  /** Id of the key; `environment` for API_KEY, `loopback` on a server that requires no key. */
  id: string;
  scopes: readonly Scope[];
  /** `HOST/OWNER/NAME` or `HOST/OWNER/*`, in lower case; absent for all repositories. */
  repositories?: readonly string[];
  /** Id of the session, when a cookie identified the caller. */
  session?: string;
};

/** The scope that a run of each action needs. */
export const ACTION_SCOPES = { chat: 'chat', make_plan: 'plan', dev: 'dev' } as const satisfies Record<Action, Scope>;

/** Returns whether scopes grant a scope: `admin` grants all, and every scope except `metrics` grants `read`. */
function grant(scopes: readonly Scope[], scope: Scope): boolean {
  return (
    scopes.includes(scope) || scopes.includes('admin') || (scope === 'read' && scopes.some((own) => own !== 'metrics'))
  );
}

/**
 * Checks that a caller has one of the scopes.
 * @throws AppError `forbidden_scope`
 */
export function requireScope(caller: Caller, anyOf: readonly Scope[]): void {
  if (anyOf.some((scope) => grant(caller.scopes, scope))) return;
  throw new AppError(
    'forbidden_scope',
    `This request needs a key with the scope ${anyOf.join(' or ')}; the key has ${caller.scopes.join(', ')}.`,
  );
}

/** Returns whether a caller's key covers a repository, given as `https://HOST/OWNER/NAME`. */
export function canAccess({ repositories }: Caller, repoUrl: string): boolean {
  if (repositories === undefined) return true;
  const repository = repoUrl.toLowerCase().replace(/^https:\/\//, '');
  return repositories.includes(repository) || repositories.includes(repository.replace(/[^/]+$/, '*'));
}
