import { copyFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { exists } from '../files/entries.ts';
import { isMissing } from '../files/errors.ts';

/** The file of git that lists the commits at which a history is cut off (gitrepository-layout(5)). */
export const SHALLOW = 'shallow';

/** Returns whether a mirror lacks a part of its history. */
export function isShallow(mirror: string): Promise<boolean> {
  return exists(join(mirror, SHALLOW));
}

/** Cuts the history of a ticket off where that of its mirror is cut off, if it is. */
export async function copyShallow(mirror: string, gitDir: string): Promise<void> {
  const path = join(gitDir, SHALLOW);
  try {
    await copyFile(join(mirror, SHALLOW), `${path}.new`);
    await rename(`${path}.new`, path);
  } catch (error) {
    if (!isMissing(error)) throw error;
    await rm(path, { force: true });
  }
}
