import { copyFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { exists } from '../files/entries.ts';
import { isMissing } from '../files/errors.ts';

/** The file in which git notes where a history is cut off (gitrepository-layout(5)). */
export const SHALLOW = 'shallow';

/** Whether a part of a mirror's history is still to come. */
export function isShallow(mirror: string): Promise<boolean> {
  return exists(join(mirror, SHALLOW));
}

/** Cuts the history of a ticket off where that of its mirror is now, or nowhere. */
export async function cutOffLike(mirror: string, gitDir: string): Promise<void> {
  const path = join(gitDir, SHALLOW);
  try {
    await copyFile(join(mirror, SHALLOW), `${path}.new`);
    await rename(`${path}.new`, path);
  } catch (error) {
    if (!isMissing(error)) throw error;
    await rm(path, { force: true });
  }
}
