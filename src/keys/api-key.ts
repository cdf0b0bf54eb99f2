import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

const API_KEY = /^pw_(?<id>[0-9a-f]{12})_(?<secret>[A-Za-z0-9_-]{43})$/;

/** Creates a key, `pw_<id>_<secret>`: an id of 12 hex digits, and 32 random bytes as base64url. */
export function makeApiKey(): { id: string; secret: string; text: string } {
  const id = randomBytes(6).toString('hex');
  const secret = randomBytes(32).toString('base64url');
  return { id, secret, text: `pw_${id}_${secret}` };
}

/** Splits a key into its parts; returns undefined for any other text. */
export function readApiKey(text: string): { id: string; secret: string } | undefined {
  const { id, secret } = API_KEY.exec(text)?.groups ?? {};
  return id === undefined || secret === undefined ? undefined : { id, secret };
}

/** Returns the SHA-256 as hex. A secret of 32 random bytes needs no slow hash. */
export function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

/** Compares a secret with a hash in constant time. */
export function matches(secret: string, hash: string): boolean {
  return timingSafeEqual(Buffer.from(hashOf(secret), 'hex'), Buffer.from(hash, 'hex'));
}
