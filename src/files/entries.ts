import { lstat, readdir } from 'node:fs/promises';
import { isMissing } from './errors.ts';

/** Also true for a link, dead or not: something is in the place. */
export async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/** What a folder holds; one that is not there holds nothing. */
export async function namesIn(folder: string): Promise<string[]> {
  return (await entries(folder)).map((entry) => entry.name);
}

export async function entries(folder: string) {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}
