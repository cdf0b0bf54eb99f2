import type { Scope } from '../../schemas/key.ts';
import type { Action } from '../../schemas/run.ts';
import { AppError } from '../errors/app-error.ts';

/** Who makes a request, and what that one may do. */
export type Caller = {
  /** Id of the key; `environment` for API_KEY, `loopback` where no key is needed. */
  id: string;
  scopes: readonly Scope[];
  /** `HOST/OWNER/NAME` or `HOST/OWNER/*` in lower case; all repositories without it. */
  repositories?: readonly string[];
  /** Id of the session, where a cookie spoke for the key. */
  session?: string;
};

/** The scope that a run of each action needs. */
export const ACTION_SCOPES = { chat: 'chat', make_plan: 'plan', dev: 'dev' } as const satisfies Record<Action, Scope>;

/** Whether scopes include one: `admin` includes all, and each but `metrics` includes `read`. */
function includes(scopes: readonly Scope[], scope: Scope): boolean {
  return (
    scopes.includes(scope) || scopes.includes('admin') || (scope === 'read' && scopes.some((own) => own !== 'metrics'))
  );
}

/**
 * @param anyOf scopes of which one is enough
 * @throws AppError `forbidden_scope`
 */
export function requireScope(caller: Caller, anyOf: readonly Scope[]): void {
  if (anyOf.some((scope) => includes(caller.scopes, scope))) return;
  throw new AppError(
    'forbidden_scope',
    `This needs a key with the scope ${anyOf.join(' or ')}; this one has ${caller.scopes.join(', ')}.`,
  );
}

/** @param repoUrl `https://HOST/OWNER/NAME` */
export function canAccess({ repositories }: Caller, repoUrl: string): boolean {
  if (repositories === undefined) return true;
  const repository = repoUrl.toLowerCase().replace(/^https:\/\//, '');
  return repositories.includes(repository) || repositories.includes(repository.replace(/[^/]+$/, '*'));
}
