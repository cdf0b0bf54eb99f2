import { createHash } from 'node:crypto';
import { AppError } from '../errors/app-error.ts';

/** Lists that come in pages. */
export type List = 'tickets' | 'runs' | 'keys' | 'audit' | 'permissions';

const DIGEST_BYTES = 9;

/**
 * Builds a page from the first `limit` of at most `limit + 1` rows.
 * @param sortKey the columns of a row that the cursor of the next page holds
 * @returns the rows, and the cursor of the next page; `null` on the last page
 */
export function toPage<Row>(list: List, rows: Row[], limit: number, sortKey: (row: Row) => string[]) {
  const items = rows.slice(0, limit);
  const last = rows.length > limit ? items.at(-1) : undefined;
  return { items, nextCursor: last === undefined ? null : encode(list, JSON.stringify(sortKey(last))) };
}

/**
 * Decodes an opaque keyset cursor into the sort key of the last row of a page.
 * @throws AppError `invalid_request` when the cursor does not belong to the list
 */
export function decodeCursor(list: List, cursor: string): string[] {
  const key = Buffer.from(cursor, 'base64url').subarray(DIGEST_BYTES).toString();
  if (encode(list, key) === cursor) return JSON.parse(key);
  throw new AppError('invalid_request', 'The cursor does not belong to this list.', {
    errors: [{ path: '/cursor', message: 'must be the next_cursor of the previous page' }],
  });
}

/** The digest rejects cursors of other lists. It is not a signature: a caller may read every row that a cursor can point to. */
function encode(list: List, key: string): string {
  const digest = createHash('sha256').update(`${list}\n${key}`).digest().subarray(0, DIGEST_BYTES);
  return Buffer.concat([digest, Buffer.from(key)]).toString('base64url');
}
