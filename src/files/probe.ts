import { randomUUID } from 'node:crypto';
import { lstat, rm, stat, statfs, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { storageFailure } from '../errors/app-error.ts';

/** Properties of the file system of the workspaces, determined by tests. */
export type FileSystem = {
  /** Linux's name, or the type number of statfs(2). */
  type: string;
  /** Whether names that differ only by case are the same. */
  ignoresCase: boolean;
  /** Longest name, link target and absolute path, in bytes. `maxLinkBytes` is 0 without support for links. */
  maxNameBytes: number;
  maxLinkBytes: number;
  maxPathBytes: number;
  /** Whether each name must be valid UTF-8. */
  requiresUtf8: boolean;
  /** Bytes not allowed in names, besides `/` and NUL. */
  refusedBytes: ReadonlySet<number>;
};

/** Values of linux/magic.h; ext2 and ext3 share the number of ext4. */
const TYPES = new Map([
  [0xef53, 'ext4'],
  [0x01021994, 'tmpfs'],
  [0x9123683e, 'btrfs'],
  [0x58465342, 'xfs'],
  [0x794c7630, 'overlay'],
  [0x6969, 'nfs'],
]);

/** NAME_MAX and PATH_MAX (without NUL) of Linux: https://man7.org/linux/man-pages/man0/limits.h.0p.html */
const NAME_MAX = 255;
const PATH_MAX = 4095;

/** Bytes that FAT, NTFS and SMB refuse in names: control characters and https://learn.microsoft.com/windows/win32/fileio/naming-a-file */
const SUSPICIOUS_BYTES = [...Array.from({ length: 31 }, (_, index) => index + 1), ...Buffer.from('"*:<>?\\|')];

/**
 * Tests a file system with temporary files.
 * @param folder for the files
 */
export async function probeFileSystem(folder: string): Promise<FileSystem> {
  const { type } = await statfs(folder);
  const probe = join(folder, randomUUID());
  const acceptsLink = (length: number) => succeeds(probe, () => symlink('x'.repeat(length), probe));
  const acceptsPath = (length: number) => succeeds(undefined, () => lstat(folder.padEnd(length, '/')));
  return {
    type: TYPES.get(type) ?? `0x${type.toString(16)}`,
    ignoresCase: await ignoresCase(folder),
    maxNameBytes: await largestAccepted(NAME_MAX, (length) => acceptsName(folder, Buffer.alloc(length, 'x'))),
    maxLinkBytes: await largestAccepted(PATH_MAX, acceptsLink),
    maxPathBytes: await largestAccepted(PATH_MAX, acceptsPath),
    requiresUtf8: !(await acceptsName(folder, Buffer.of(0xff))),
    refusedBytes: await findRefusedBytes(folder),
  };
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

async function findRefusedBytes(folder: string): Promise<ReadonlySet<number>> {
  if (await acceptsName(folder, Buffer.from(SUSPICIOUS_BYTES))) return new Set();
  const refused = new Set<number>();
  for (const byte of SUSPICIOUS_BYTES) {
    if (!(await acceptsName(folder, Buffer.of(0x78, byte, 0x78)))) refused.add(byte);
  }
  return refused;
}

function acceptsName(folder: string, name: Buffer): Promise<boolean> {
  const path = Buffer.concat([Buffer.from(`${folder}/`), name]);
  return succeeds(path, () => writeFile(path, '', { flag: 'wx' }));
}

/**
 * Returns whether an operation succeeds.
 * @param created path that the operation creates, to remove afterwards
 * @throws AppError for a full or failing disk
 */
async function succeeds(created: string | Buffer | undefined, operation: () => Promise<unknown>): Promise<boolean> {
  try {
    await operation();
  } catch (error) {
    if (storageFailure(error)) throw error;
    return false;
  }
  if (created !== undefined) await rm(created);
  return true;
}

/** Finds the largest accepted length up to `max` by bisection. */
async function largestAccepted(max: number, isAccepted: (length: number) => Promise<boolean>): Promise<number> {
  if (await isAccepted(max)) return max;
  let [accepted, rejected] = [0, max];
  while (rejected - accepted > 1) {
    const middle = Math.floor((accepted + rejected) / 2);
    if (await isAccepted(middle)) accepted = middle;
    else rejected = middle;
  }
  return accepted;
}
