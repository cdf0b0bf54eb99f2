import { statfs } from 'node:fs/promises';

/** Space of the file system of a folder, in bytes: what this process may still use of it, and its size. */
export async function diskSpace(folder: string): Promise<{ free: number; size: number }> {
  const { bavail, blocks, bsize } = await statfs(folder);
  return { free: bavail * bsize, size: blocks * bsize };
}
