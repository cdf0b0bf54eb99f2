import { randomBytes } from 'node:crypto';
import type { Logger } from '../config/logger.ts';
import type { Store } from '../store/open-store.ts';
import type { SessionRow } from '../store/sessions.ts';
import { hashOf, matches } from './api-key.ts';
import type { Caller } from './caller.ts';
import type { Keys } from './keys.ts';

export type Sessions = Awaited<ReturnType<typeof createSessions>>;

const LIFETIME_MS = 7 * 24 * 3600 * 1000;

/** One more ends the oldest. */
const MAX_PER_KEY = 50;

const TOKEN = /^(?<id>[0-9a-f]{24})\.(?<secret>[A-Za-z0-9_-]{43})$/;

/**
 * Sessions of people who gave a key once: each may do what its key may, for as long as the key is valid, a week at most. They
 * outlive the process. What is kept is a hash over the session's secret and the key, so that a session also ends when
 * API_KEY is replaced.
 */
export async function createSessions({ store, keys, logger }: { store: Store; keys: Keys; logger: Logger }) {
  const rows = new Map((await store.sessions.all()).map((row) => [row.session_id, row]));
  const watchers = new Map<string, Set<() => void>>();
  remove([...rows.values()].filter(isExpired));

  function remove(over: readonly SessionRow[]): void {
    for (const row of over) {
      rows.delete(row.session_id);
      for (const end of watchers.get(row.session_id) ?? []) end();
    }
    store.sessions
      .delete(over.map(({ session_id }) => session_id))
      .catch((error) => logger.error({ err: error }, 'sessions that are over were not removed'));
  }

  return {
    /**
     * Opens a session for the holder of a key.
     * @returns what the browser keeps, and the time it is valid for
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
        secret_hash: hashOf(bound(secret, keys.findValid(caller.id)?.secretHash)),
        created_at: new Date(now).toISOString(),
        expires_at: expiresAt.toISOString(),
      };
      await store.sessions.insert(row);
      rows.set(id, row);
      return { token: `${id}.${secret}`, expiresAt };
    },

    /** Who holds a session, while it and its key are valid. */
    authenticate(token: string): Caller | undefined {
      const { id = '', secret = '' } = TOKEN.exec(token)?.groups ?? {};
      const row = rows.get(id);
      if (row === undefined) return undefined;
      const holder = keys.findValid(row.key_id);
      if (isExpired(row) || holder === undefined) {
        remove([row]);
        return undefined;
      }
      if (!matches(bound(secret, holder.secretHash), row.secret_hash)) return undefined;
      return { ...holder.caller, session: id };
    },

    /** When the session of a caller ends at the latest. */
    expiresAt(caller: Caller): string | undefined {
      return caller.session === undefined ? undefined : rows.get(caller.session)?.expires_at;
    },

    /** Ends the session of a caller and its streams; other sessions of the key go on. */
    signOut(caller: Caller): void {
      const row = caller.session === undefined ? undefined : rows.get(caller.session);
      if (row !== undefined) remove([row]);
    },

    /** As `keys.onInvalid`, and also when the session of a caller ends. */
    onInvalid(caller: Caller, end: () => void): () => void {
      const { session } = caller;
      const unwatchKey = keys.onInvalid(caller, end);
      if (session === undefined) return unwatchKey;
      const row = rows.get(session);
      if (row === undefined) end();
      const watching = watchers.get(session) ?? new Set();
      watchers.set(session, watching.add(end));
      const timer = setTimeout(end, Date.parse(row?.expires_at ?? '') - Date.now());
      return () => {
        unwatchKey();
        clearTimeout(timer);
        watching.delete(end);
        if (watching.size === 0) watchers.delete(session);
      };
    },
  };
}

function isExpired({ expires_at }: SessionRow): boolean {
  return Date.parse(expires_at) <= Date.now();
}

function bound(secret: string, keyHash: string | undefined): string {
  return `${secret} ${keyHash ?? ''}`;
}
