import type { CreateKey } from '../../schemas/key.ts';
import { AppError } from '../errors/app-error.ts';
import type { KeyRow } from '../store/keys.ts';
import { hashOf, makeApiKey } from './api-key.ts';

/**
 * Creates a key and its row. Only the returned `text` contains the secret.
 * @throws AppError `invalid_request`
 */
export function makeKey(request: CreateKey, allowedHosts: readonly string[]): { row: KeyRow; text: string } {
  const repositories = request.repositories?.map((name) => withHost(name, allowedHosts));
  if (repositories !== undefined && request.scopes.includes('admin')) {
    throw invalid('/repositories', 'An admin key cannot be limited to repositories: it could create an unlimited key.');
  }
  if (repositories !== undefined && request.scopes.includes('metrics')) {
    throw invalid('/repositories', 'A metrics key cannot be limited to repositories: the metrics cover all of them.');
  }
  const expires = request.expires_at === undefined ? undefined : new Date(request.expires_at);
  if (expires !== undefined && !(expires.getTime() > Date.now())) {
    throw invalid('/expires_at', 'The time of expiry is in the past.');
  }
  const { id, secret, text } = makeApiKey();
  const row = {
    key_id: id,
    name: request.name,
    secret_hash: hashOf(secret),
    scopes: JSON.stringify(request.scopes),
    repositories: repositories === undefined ? null : JSON.stringify([...new Set(repositories)]),
    created_at: new Date().toISOString(),
    expires_at: expires?.toISOString() ?? null,
    last_used_at: null,
    revoked_at: null,
  };
  return { row, text };
}

/** Returns `HOST/OWNER/NAME` in lower case, the form in which repositories are compared. */
function withHost(name: string, allowedHosts: readonly string[]): string {
  const parts = name
    .toLowerCase()
    .replace(/\.git$/, '')
    .split('/');
  const full = parts.length === 3 ? parts : [allowedHosts[0] ?? '', ...parts];
  if (!allowedHosts.includes(full[0] ?? '')) {
    throw invalid('/repositories', `The host ${full[0]} is not allowed. Use one of ${allowedHosts.join(', ')}.`);
  }
  return full.join('/');
}

function invalid(path: string, detail: string): AppError {
  return new AppError('invalid_request', detail, { errors: [{ path, message: detail }] });
}
