import { readdirSync } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { isMissing } from './errors.ts';

/** Returns whether a path exists, without following links. */
export async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/** Lists the names in a folder; none when it is missing. */
export async function namesIn(folder: string): Promise<string[]> {
  return (await entries(folder)).map((entry) => entry.name);
}

/** Lists the names in a folder; none when it is missing or unreadable. */
export function namesInSync(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** Lists the entries of a folder; none when it is missing. */
export async function entries(folder: string) {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}
