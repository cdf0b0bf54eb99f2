import type { CreateKey, KeyCreated } from '../../schemas/key.ts';
import type { Config } from '../config/load-config.ts';
import type { Logger } from '../config/logger.ts';
import { AppError } from '../errors/app-error.ts';
import type { Store } from '../store/open-store.ts';
import { hashOf, makeApiKey, matches, readApiKey } from './api-key.ts';
import type { Caller } from './caller.ts';
import { createExpiryWatchers } from './expiry-watchers.ts';
import { invalidReason, type KeyEntry, toEntry, toKey } from './key-entry.ts';
import { makeKey } from './new-key.ts';

export type Keys = Awaited<ReturnType<typeof createKeys>>;

/** The caller of a server that requires no key. */
export const LOOPBACK: Caller = { id: 'loopback', scopes: ['admin'] };

/** The caller with API_KEY. */
const ENVIRONMENT: Caller = { id: 'environment', scopes: ['admin'] };

const LAST_USED_INTERVAL_MS = 60_000;

type Deps = {
  config: Pick<Config, 'API_KEY' | 'ALLOWED_REPO_HOSTS'>;
  store: Pick<Store, 'keys'>;
  logger: Logger;
};

/**
 * Manages the API keys: the keys of the store, and API_KEY. All are in memory, so that a failed request costs a hash and no
 * query. Only this server writes to the store.
 */
export async function createKeys({ config, store, logger }: Deps) {
  const entries = new Map((await store.keys.all()).map((row) => [row.key_id, toEntry(row)]));
  const watchers = createExpiryWatchers();
  const environmentHash = config.API_KEY === undefined ? undefined : hashOf(config.API_KEY);
  /** Compared for an unknown key id, so that the answer takes as long as for a known one. */
  const dummyHash = hashOf(makeApiKey().secret);

  function recordUse(entry: KeyEntry): void {
    const now = Date.now();
    if (now - entry.lastUseRecorded < LAST_USED_INTERVAL_MS) return;
    entry.lastUseRecorded = now;
    store.keys
      .recordUse(entry.row.key_id, new Date(now).toISOString())
      .catch((error) => logger.error({ err: error, key_id: entry.row.key_id }, 'failed to record the use of a key'));
  }

  function isInvalid(caller: Caller): boolean {
    const row = entries.get(caller.id)?.row;
    return row === undefined ? caller.id === LOOPBACK.id && isRequired() : invalidReason(row) !== undefined;
  }

  /**
   * Returns whether requests need a key. They do from the first key on. An expired key still counts, so that time alone
   * never opens the server; a revoked key does not count.
   */
  function isRequired(): boolean {
    return environmentHash !== undefined || [...entries.values()].some(({ row }) => row.revoked_at === null);
  }

  return {
    isRequired,

    hasValid(): boolean {
      return environmentHash !== undefined || [...entries.values()].some(({ row }) => invalidReason(row) === undefined);
    },

    findValid(keyId: string): { caller: Caller; name: string; secretHash: string } | undefined {
      if (keyId === ENVIRONMENT.id && environmentHash !== undefined) {
        return { caller: ENVIRONMENT, name: 'API_KEY', secretHash: environmentHash };
      }
      const entry = entries.get(keyId);
      if (entry === undefined || invalidReason(entry.row) !== undefined) return undefined;
      return { caller: entry.caller, name: entry.row.name, secretHash: entry.row.secret_hash };
    },

    /**
     * @param text key as the client sent it
     * @returns the caller, or why the key is not valid; with `keyId` when its secret was right
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
     * Creates a key. The answer is the only place that shows its secret.
     * @throws AppError `invalid_request`
     */
    async create(request: CreateKey): Promise<KeyCreated> {
      const { row, text } = makeKey(request, config.ALLOWED_REPO_HOSTS);
      await store.keys.insert(row);
      entries.set(row.key_id, toEntry(row));
      // From now on, requests need a key.
      watchers.notify(LOOPBACK.id);
      return { ...toKey(row), key: text };
    },

    async list(query: { cursor?: string; limit: number }) {
      const page = await store.keys.list(query);
      return { items: page.items.map(toKey), next_cursor: page.nextCursor };
    },

    /**
     * Revokes a key at once and closes its streams. Revoking it again has no effect.
     * @throws AppError `key_not_found`
     */
    async revoke(keyId: string): Promise<void> {
      const entry = entries.get(keyId);
      if (entry === undefined) throw new AppError('key_not_found', `There is no key ${keyId}.`);
      if (entry.row.revoked_at !== null) return;
      const revokedAt = new Date().toISOString();
      await store.keys.revoke(keyId, revokedAt);
      entry.row = { ...entry.row, revoked_at: revokedAt };
      watchers.notify(keyId);
    },

    /**
     * Calls back when the key of a caller is revoked or expires; at once if that has already happened.
     * @returns stops the calls
     */
    onInvalid(caller: Caller, callback: () => void): () => void {
      if (isInvalid(caller)) callback();
      return watchers.watch(caller.id, entries.get(caller.id)?.row.expires_at, callback);
    },
  };
}
