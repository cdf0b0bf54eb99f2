import { statfs } from 'node:fs/promises';

/** Returns the free space for this process, and the size, of the file system of a folder, in bytes. */
export async function diskSpace(folder: string): Promise<{ free: number; size: number }> {
  const { bavail, blocks, bsize } = await statfs(folder);
  return { free: bavail * bsize, size: blocks * bsize };
}
