import { randomUUID } from 'node:crypto';
import { rm, stat, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** What the disk of the workspaces is like, found out by trying. */
export type FileSystem = {
  /** As Linux calls it, or the number that statfs(2) gives. */
  type: string;
  /** Whether names that differ by case only are one. */
  ignoresCase: boolean;
};

/** From linux/magic.h; ext2 and ext3 have the number of ext4. */
const TYPES = new Map([
  [0xef53, 'ext4'],
  [0x01021994, 'tmpfs'],
  [0x9123683e, 'btrfs'],
  [0x58465342, 'xfs'],
  [0x794c7630, 'overlay'],
  [0x6969, 'nfs'],
]);

/** @param folder where a file may be made for a moment */
export async function probeFileSystem(folder: string): Promise<FileSystem> {
  const { type } = await statfs(folder);
  return { type: TYPES.get(type) ?? `0x${type.toString(16)}`, ignoresCase: await ignoresCase(folder) };
}

async function ignoresCase(folder: string): Promise<boolean> {
  const name = randomUUID();
  const probe = join(folder, `${name}-Case`);
  await writeFile(probe, '');
  try {
    await stat(join(folder, `${name}-cASE`));
    return true;
  } catch {
    return false;
  } finally {
    await rm(probe);
  }
}
