import { existsSync } from 'node:fs';
import { join } from 'node:path';
import SQLite from 'better-sqlite3';

/** A file in DATA_DIR that says that a restore was begun and not finished. */
export const UNFINISHED_RESTORE = 'UNFINISHED_RESTORE';

/** Name of the store in DATA_DIR. */
export const STORE_FILE = 'pullwright.db';

/** @throws Error when the folder is the result of a restore that was cut short */
export function rejectUnfinishedRestore(directory: string): void {
  if (!existsSync(join(directory, UNFINISHED_RESTORE))) return;
  throw new Error(`DATA_DIR (${directory}) holds a restore that was not finished. Empty it and restore again.`);
}

/** What `checkStore` says of a store that cannot be looked at now: a server keeps its own to itself. */
export const STORE_IN_USE = 'a server uses it';

/** What is wrong with the store in a folder; undefined when it is whole. */
export function checkStore(directory: string): string | undefined {
  try {
    const sqlite = new SQLite(join(directory, STORE_FILE), { fileMustExist: true, timeout: 0 });
    try {
      const verdict = sqlite.pragma('integrity_check', { simple: true });
      return verdict === 'ok' ? undefined : String(verdict);
    } finally {
      sqlite.close();
    }
  } catch (error) {
    if (error instanceof SQLite.SqliteError && error.code.startsWith('SQLITE_BUSY')) return STORE_IN_USE;
    return error instanceof Error ? error.message : String(error);
  }
}
