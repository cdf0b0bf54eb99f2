import { createHash } from 'node:crypto';
import { AppError } from '../errors/app-error.ts';

/** Lists that come in pages. */
export type List = 'tickets' | 'runs' | 'keys' | 'audit' | 'permissions';

const DIGEST_BYTES = 9;

/**
 * Makes an opaque keyset cursor: the sort key of the last row of a page. Its digest names the list; it tells a cursor of ours
 * from any other text and protects nothing, since a cursor is a place in what its caller may read anyway.
 */
export function encodeCursor(list: List, key: readonly string[]): string {
  return encode(list, JSON.stringify(key));
}

/** @throws AppError `invalid_request` when the cursor is not one of the list */
export function decodeCursor(list: List, cursor: string): string[] {
  const key = Buffer.from(cursor, 'base64url').subarray(DIGEST_BYTES).toString();
  if (encode(list, key) === cursor) return JSON.parse(key);
  throw new AppError('invalid_request', 'The cursor is not one of this list.', {
    errors: [{ path: '/cursor', message: 'take it from next_cursor of the page before' }],
  });
}

function encode(list: List, key: string): string {
  const digest = createHash('sha256').update(`${list}\n${key}`).digest().subarray(0, DIGEST_BYTES);
  return Buffer.concat([digest, Buffer.from(key)]).toString('base64url');
}
