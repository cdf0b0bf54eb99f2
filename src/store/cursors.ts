import { AppError } from '../errors/app-error.ts';

/** Opaque keyset cursor: the sort key of the last row of a page. */
export function encodeCursor(key: readonly string[]): string {
  return Buffer.from(JSON.stringify(key)).toString('base64url');
}

/**
 * @param parts how many strings the key has
 * @throws AppError `invalid_request` when the cursor is not one of ours
 */
export function decodeCursor(cursor: string, parts: number): string[] {
  try {
    const key: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString());
    if (Array.isArray(key) && key.length === parts && key.every((part) => typeof part === 'string')) return key;
  } catch {
    // Falls through: whatever it is, it did not come from us.
  }
  throw new AppError('invalid_request', 'The cursor is not valid.', {
    errors: [{ path: '/cursor', message: 'take it from next_cursor of the page before' }],
  });
}
