import { cp, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode, isMissing } from './errors.ts';

/**
 * Copies the files of a folder that other programs may change. Skips links and files that vanish meanwhile.
 * @param filter returns whether to copy a file or folder, by its path
 */
export async function copyFolder(
  from: string,
  to: string,
  filter: (path: string) => boolean = () => true,
): Promise<void> {
  await forEachEntry(from, to, async (source, target, kind) => {
    if (!filter(source)) return;
    if (kind === 'folder') await copyFolder(source, target, filter);
    else await ignoreMissing(cp(source, target, { preserveTimestamps: true }));
  });
}

/** Creates a folder and calls a function for each file and folder of another one; for none when that is missing. */
export async function forEachEntry(
  from: string,
  to: string,
  handle: (source: string, target: string, kind: 'file' | 'folder') => Promise<void>,
): Promise<void> {
  const entries = (await ignoreMissing(readdir(from, { withFileTypes: true }))) ?? [];
  await mkdir(to, { recursive: true });
  for (const entry of entries) {
    const kind = entry.isDirectory() ? 'folder' : entry.isFile() ? 'file' : undefined;
    if (kind !== undefined) await handle(join(from, entry.name), join(to, entry.name), kind);
  }
}

/** Resolves to undefined when a file has vanished or has become a folder. */
async function ignoreMissing<T>(promise: Promise<T>): Promise<T | undefined> {
  return promise.catch((error) => {
    if (isMissing(error) || hasCode(error, 'ERR_FS_EISDIR')) return undefined;
    throw error;
  });
}
