import { randomBytes } from 'node:crypto';
import type { Logger } from '../config/logger.ts';
import type { Store } from '../store/open-store.ts';
import type { SessionRow } from '../store/sessions.ts';
import { hashOf, matches } from './api-key.ts';
import type { Caller } from './caller.ts';
import { createExpiryWatchers } from './expiry-watchers.ts';
import type { Keys } from './keys.ts';

export type Sessions = Awaited<ReturnType<typeof createSessions>>;

const LIFETIME_MS = 7 * 24 * 3600 * 1000;

/** A further sign-in ends the oldest session of the key. */
const MAX_PER_KEY = 50;

const TOKEN = /^(?<id>[0-9a-f]{24})\.(?<secret>[A-Za-z0-9_-]{43})$/;

/**
 * Manages the sessions of the dashboard. A session may do what its key may, while the key is valid, for at most a week, and it
 * survives a restart. The store has a hash over the session's secret and the key, so that replacing API_KEY ends the session.
 */
export async function createSessions(deps: { store: Pick<Store, 'sessions'>; keys: Keys; logger: Logger }) {
  const { store, keys, logger } = deps;
  const rows = new Map((await store.sessions.all()).map((row) => [row.session_id, row]));
  const watchers = createExpiryWatchers();
  remove([...rows.values()].filter(isExpired));

  function remove(ended: readonly SessionRow[]): void {
    for (const row of ended) {
      rows.delete(row.session_id);
      watchers.notify(row.session_id);
    }
    store.sessions
      .delete(ended.map(({ session_id }) => session_id))
      .catch((error) => logger.error({ err: error }, 'failed to delete ended sessions'));
  }

  return {
    /**
     * Opens a session for the caller's key.
     * @returns the token for the browser, and when it expires
     */
    async signIn(caller: Caller): Promise<{ token: string; expiresAt: Date }> {
      const own = [...rows.values()].filter(({ key_id }) => key_id === caller.id);
      remove([...own.filter(isExpired), ...own.slice(0, Math.max(0, own.length - MAX_PER_KEY + 1))]);
      const id = randomBytes(12).toString('hex');
      const secret = randomBytes(32).toString('base64url');
      const now = Date.now();
      const expiresAt = new Date(now + LIFETIME_MS);
      const row = {
        session_id: id,
        key_id: caller.id,
        secret_hash: hashOf(boundToKey(secret, keys.findValid(caller.id)?.secretHash)),
        created_at: new Date(now).toISOString(),
        expires_at: expiresAt.toISOString(),
      };
      await store.sessions.insert(row);
      rows.set(id, row);
      return { token: `${id}.${secret}`, expiresAt };
    },

    /** Returns the caller of a session; undefined when the session or its key is not valid. */
    authenticate(token: string): Caller | undefined {
      const { id = '', secret = '' } = TOKEN.exec(token)?.groups ?? {};
      const row = rows.get(id);
      if (row === undefined) return undefined;
      const key = keys.findValid(row.key_id);
      if (isExpired(row) || key === undefined) {
        remove([row]);
        return undefined;
      }
      if (!matches(boundToKey(secret, key.secretHash), row.secret_hash)) return undefined;
      return { ...key.caller, session: id };
    },

    /** Returns when the session of a caller expires. */
    expiresAt(caller: Caller): string | undefined {
      return caller.session === undefined ? undefined : rows.get(caller.session)?.expires_at;
    },

    /** Deletes the session of a caller and closes its streams. Other sessions of the key stay open. */
    signOut(caller: Caller): void {
      const row = caller.session === undefined ? undefined : rows.get(caller.session);
      if (row !== undefined) remove([row]);
    },

    /** Calls back like `keys.onInvalid`, and when the session of a caller becomes invalid. */
    onInvalid(caller: Caller, callback: () => void): () => void {
      const { session } = caller;
      const unwatchKey = keys.onInvalid(caller, callback);
      if (session === undefined) return unwatchKey;
      const row = rows.get(session);
      if (row === undefined) callback();
      const unwatchSession = watchers.watch(session, row?.expires_at, callback);
      return () => {
        unwatchKey();
        unwatchSession();
      };
    },
  };
}

function isExpired({ expires_at }: SessionRow): boolean {
  return Date.parse(expires_at) <= Date.now();
}

function boundToKey(secret: string, keyHash: string | undefined): string {
  return `${secret} ${keyHash ?? ''}`;
}
