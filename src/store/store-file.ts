import { existsSync } from 'node:fs';
import { join } from 'node:path';
import SQLite from 'better-sqlite3';

/** File in DATA_DIR that exists from the start of a restore to its end. */
export const UNFINISHED_RESTORE = 'UNFINISHED_RESTORE';

export const STORE_FILE = 'pullwright.db';

/** @throws Error when a restore into the folder was interrupted */
export function rejectUnfinishedRestore(directory: string): void {
  if (!existsSync(join(directory, UNFINISHED_RESTORE))) return;
  throw new Error(`DATA_DIR (${directory}) holds an unfinished restore. Empty it and restore again.`);
}

/** Result of `checkStore` while a server holds the lock of the store. */
export const STORE_IN_USE = 'a server is using it';

/** Checks the integrity of the store in a folder. Returns the first problem, or undefined. */
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
