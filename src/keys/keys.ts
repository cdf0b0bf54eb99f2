import type { CreateKey, Key, KeyCreated, Scope } from '../../schemas/key.ts';
import type { Config } from '../config/load-config.ts';
import type { Logger } from '../config/logger.ts';
import { AppError } from '../errors/app-error.ts';
import type { KeyRow } from '../store/keys.ts';
import type { Store } from '../store/open-store.ts';
import { hashOf, makeApiKey, matches, readApiKey } from './api-key.ts';
import type { Caller } from './caller.ts';

export type Keys = Awaited<ReturnType<typeof createKeys>>;

/** Who calls a server that needs no key. */
export const LOOPBACK: Caller = { id: 'loopback', scopes: ['admin'] };

/** Who calls with API_KEY. */
const ENVIRONMENT: Caller = { id: 'environment', scopes: ['admin'] };

/** `last_used_at` is written this often at most. */
const LAST_USED_INTERVAL_MS = 60_000;

/** `setTimeout` takes no longer time. */
const MAX_TIMER_MS = 2 ** 31 - 1;

type Entry = { row: KeyRow; caller: Caller; usedWritten: number };

/**
 * The API keys: those of the store, and API_KEY. They are held in memory, so that a request that fails costs a hash and
 * no query; the store has one server.
 */
export async function createKeys({ config, store, logger }: { config: Config; store: Store; logger: Logger }) {
  const entries = new Map((await store.keys.all()).map((row) => [row.key_id, entryOf(row)]));
  const watchers = new Map<string, Set<() => void>>();
  const environmentHash = config.API_KEY === undefined ? undefined : hashOf(config.API_KEY);
  /** Compared with when there is no such key, so that the answer takes as long. */
  const dummyHash = hashOf(makeApiKey().secret);

  function recordUse(entry: Entry): void {
    const now = Date.now();
    if (now - entry.usedWritten < LAST_USED_INTERVAL_MS) return;
    entry.usedWritten = now;
    store.keys
      .recordUse(entry.row.key_id, new Date(now).toISOString())
      .catch((error) => logger.error({ err: error, key_id: entry.row.key_id }, 'the use of a key was not recorded'));
  }

  function isInvalid(caller: Caller): boolean {
    const row = entries.get(caller.id)?.row;
    return row === undefined ? caller.id === LOOPBACK.id && isRequired() : invalidReason(row) !== undefined;
  }

  function notifyInvalid(callerId: string): void {
    for (const end of watchers.get(callerId) ?? []) end();
  }

  /**
   * Whether requests need a key: once there is one. A key that expired still counts, so that the door never opens by
   * itself; one that was revoked does not.
   */
  function isRequired(): boolean {
    return environmentHash !== undefined || [...entries.values()].some(({ row }) => row.revoked_at === null);
  }

  return {
    isRequired,

    /** Whether somebody holds a key that is valid now. */
    hasValid(): boolean {
      return environmentHash !== undefined || [...entries.values()].some(({ row }) => invalidReason(row) === undefined);
    },

    /** Who holds a key that is valid now, with the hash of its secret. */
    findValid(keyId: string): { caller: Caller; name: string; secretHash: string } | undefined {
      if (keyId === ENVIRONMENT.id && environmentHash !== undefined) {
        return { caller: ENVIRONMENT, name: 'API_KEY', secretHash: environmentHash };
      }
      const entry = entries.get(keyId);
      if (entry === undefined || invalidReason(entry.row) !== undefined) return undefined;
      return { caller: entry.caller, name: entry.row.name, secretHash: entry.row.secret_hash };
    },

    /**
     * @param text what the client sent as its key
     * @returns the holder, or what is wrong with the key; `keyId` when the secret was right
     */
    authenticate(text: string): { caller: Caller } | { fault: string; keyId?: string } {
      if (environmentHash !== undefined && matches(text, environmentHash)) return { caller: ENVIRONMENT };
      const parts = readApiKey(text);
      const entry = parts && entries.get(parts.id);
      const right = matches(parts?.secret ?? text, entry?.row.secret_hash ?? dummyHash);
      if (!right || entry === undefined) return { fault: 'The API key is not valid.' };
      const fault = invalidReason(entry.row);
      if (fault !== undefined) return { fault, keyId: entry.row.key_id };
      recordUse(entry);
      return { caller: entry.caller };
    },

    /**
     * Makes a key. Its text is in the answer and nowhere else.
     * @throws AppError `invalid_request` for what a key cannot be
     */
    async create(request: CreateKey): Promise<KeyCreated> {
      const repositories = request.repositories?.map((name) => withHost(name, config.ALLOWED_REPO_HOSTS));
      if (repositories !== undefined && request.scopes.includes('admin')) {
        throw invalid('/repositories', 'An admin key cannot be limited to repositories: it could make itself another.');
      }
      if (repositories !== undefined && request.scopes.includes('metrics')) {
        throw invalid(
          '/repositories',
          'A key for metrics cannot be limited to repositories: they tell of all together.',
        );
      }
      const expires = request.expires_at === undefined ? undefined : new Date(request.expires_at);
      if (expires !== undefined && !(expires.getTime() > Date.now())) {
        throw invalid('/expires_at', 'The key would have expired already.');
      }
      const { id, secret, text } = makeApiKey();
      const row = await store.keys.insert({
        key_id: id,
        name: request.name,
        secret_hash: hashOf(secret),
        scopes: JSON.stringify(request.scopes),
        repositories: repositories === undefined ? null : JSON.stringify([...new Set(repositories)]),
        created_at: new Date().toISOString(),
        expires_at: expires?.toISOString() ?? null,
        last_used_at: null,
        revoked_at: null,
      });
      entries.set(id, entryOf(row));
      // From now on a key is needed.
      notifyInvalid(LOOPBACK.id);
      return { ...toKey(row), key: text };
    },

    async list(query: { cursor?: string; limit: number }) {
      const page = await store.keys.list(query);
      return { items: page.items.map(toKey), next_cursor: page.nextCursor };
    },

    /**
     * Revokes a key at once, and ends its streams; revoking it again changes nothing.
     * @throws AppError `key_not_found`
     */
    async revoke(keyId: string): Promise<void> {
      const entry = entries.get(keyId);
      if (entry === undefined) throw new AppError('key_not_found', `There is no key ${keyId}.`);
      if (entry.row.revoked_at !== null) return;
      const revokedAt = new Date().toISOString();
      await store.keys.revoke(keyId, revokedAt);
      entry.row = { ...entry.row, revoked_at: revokedAt };
      notifyInvalid(keyId);
    },

    /**
     * Calls `end` when a caller's key is revoked or expires, until the returned function is called. At once when that
     * happened since the caller was checked.
     */
    onInvalid(caller: Caller, end: () => void): () => void {
      if (isInvalid(caller)) end();
      const watching = watchers.get(caller.id) ?? new Set();
      watchers.set(caller.id, watching.add(end));
      const expires = entries.get(caller.id)?.row.expires_at ?? null;
      const left = expires === null ? undefined : Date.parse(expires) - Date.now();
      const timer = left !== undefined && left <= MAX_TIMER_MS ? setTimeout(end, left) : undefined;
      return () => {
        clearTimeout(timer);
        watching.delete(end);
        if (watching.size === 0) watchers.delete(caller.id);
      };
    },
  };
}

function entryOf(row: KeyRow): Entry {
  const { scopes, repositories } = toKey(row);
  const caller = { id: row.key_id, scopes, repositories };
  return { row, caller, usedWritten: row.last_used_at === null ? 0 : Date.parse(row.last_used_at) };
}

/** Why a key is not valid any more. */
function invalidReason(row: KeyRow): string | undefined {
  if (row.revoked_at !== null) return 'The API key was revoked.';
  if (row.expires_at !== null && Date.parse(row.expires_at) <= Date.now()) return 'The API key has expired.';
  return undefined;
}

/** `HOST/OWNER/NAME` in lower case, as repositories are compared. */
function withHost(name: string, allowedHosts: readonly string[]): string {
  const parts = name
    .toLowerCase()
    .replace(/\.git$/, '')
    .split('/');
  const full = parts.length === 3 ? parts : [allowedHosts[0] ?? '', ...parts];
  if (!allowedHosts.includes(full[0] ?? '')) {
    throw invalid(
      '/repositories',
      `Repositories on ${full[0]} are not allowed; allowed are those on ${allowedHosts.join(', ')}.`,
    );
  }
  return full.join('/');
}

function invalid(path: string, detail: string): AppError {
  return new AppError('invalid_request', detail, { errors: [{ path, message: detail }] });
}

function toKey(row: KeyRow): Key {
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
