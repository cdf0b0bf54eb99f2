import type { Key, Scope } from '../../schemas/key.ts';
import type { KeyRow } from '../store/keys.ts';
import type { Caller } from './caller.ts';

/** A stored key in memory. `lastUseRecorded` is a time of `Date.now()`. */
export type KeyEntry = { row: KeyRow; caller: Caller; lastUseRecorded: number };

export function toEntry(row: KeyRow): KeyEntry {
  const { scopes, repositories } = toKey(row);
  const caller = { id: row.key_id, scopes, repositories };
  return { row, caller, lastUseRecorded: row.last_used_at === null ? 0 : Date.parse(row.last_used_at) };
}

/** Returns why a key is no longer valid; undefined while it is. */
export function invalidReason(row: KeyRow): string | undefined {
  if (row.revoked_at !== null) return 'The API key was revoked.';
  if (row.expires_at !== null && Date.parse(row.expires_at) <= Date.now()) return 'The API key has expired.';
  return undefined;
}

export function toKey(row: KeyRow): Key {
  const scopes: Scope[] = JSON.parse(row.scopes);
  return {
    key_id: row.key_id,
    name: row.name,
    scopes,
    repositories: row.repositories === null ? undefined : JSON.parse(row.repositories),
    created_at: row.created_at,
    expires_at: row.expires_at ?? undefined,
    last_used_at: row.last_used_at ?? undefined,
    revoked_at: row.revoked_at ?? undefined,
  };
}
