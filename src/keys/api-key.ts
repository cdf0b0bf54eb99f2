import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

const API_KEY = /^pw_(?<id>[0-9a-f]{12})_(?<secret>[A-Za-z0-9_-]{43})$/;

/** A new key, `pw_<id>_<secret>`: 12 hex digits to look it up by, and 32 random bytes as base64url. */
export function makeApiKey(): { id: string; secret: string; text: string } {
  const id = randomBytes(6).toString('hex');
  const secret = randomBytes(32).toString('base64url');
  return { id, secret, text: `pw_${id}_${secret}` };
}

/** The parts of a key, or `undefined` for what is not of its form. */
export function readApiKey(text: string): { id: string; secret: string } | undefined {
  const { id, secret } = API_KEY.exec(text)?.groups ?? {};
  return id === undefined || secret === undefined ? undefined : { id, secret };
}

/** SHA-256, as hex: for 32 random bytes nothing slower is needed. */
export function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

/** Whether a secret is the one that was hashed; takes as long for a wrong one as for the right one. */
export function matches(secret: string, hash: string): boolean {
  return timingSafeEqual(Buffer.from(hashOf(secret), 'hex'), Buffer.from(hash, 'hex'));
}
