import { isUtf8 } from 'node:buffer';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { TicketId } from '../../../schemas/common.ts';
import { AppError } from '../../errors/app-error.ts';
import type { ErrorCode } from '../../errors/error-codes.ts';
import type { Layout } from '../../files/layout.ts';
import type { FileSystem } from '../../files/probe.ts';

/** The limits of a checkout: of the file system, and of the settings. */
export type TreeLimits = Omit<FileSystem, 'type' | 'maxPathBytes'> & {
  /** Longest path relative to a workspace, in bytes. */
  maxPathBytes: number;
  maxMib: number;
};

export type TreeEntry = {
  kind: 'file' | 'link' | 'folder' | 'submodule';
  object: string;
  /** Bytes of content; 0 for folders and submodules. */
  size: number;
  path: Buffer;
};

/** The error codes of a tree that is refused before any file is written. */
export const TREE_REFUSALS: ReadonlySet<ErrorCode> = new Set(['path_unsupported', 'path_clash', 'workspace_too_large']);

/** Names that git never checks out. It has more such names, and refuses them before it writes a file. */
const REFUSED_BY_GIT = /(?:^|\/)(?:\.{0,2}|\.git)(?:\/|$)/i;

/** git evaluates these files for each path, so a large one takes long. */
const RULE_FILES: ReadonlySet<string> = new Set(['.gitignore', '.gitattributes']);
const MAX_RULE_FILE_BYTES = 1024 * 1024;

const BLOCK_BYTES = 4096;
const UUID_LENGTH = 36;
const SLASH = 0x2f;

/** Computes the limits. They allow for the longest parent folder of any workspace, so all tickets have the same. */
export function createTreeLimits(fileSystem: FileSystem, { tickets }: Layout, maxMib: number): TreeLimits {
  const roots = [
    join(tickets.root, 'x'.repeat(TicketId.maxLength ?? 0)),
    join(tickets.staging, 'x'.repeat(UUID_LENGTH)),
    join(tickets.trash, 'x'.repeat(UUID_LENGTH)),
  ];
  const longestRoot = Math.max(...roots.map((root) => Buffer.byteLength(`${root}/`)));
  return { ...fileSystem, maxPathBytes: fileSystem.maxPathBytes - longestRoot, maxMib };
}

/** Returns the disk space of an entry in bytes: whole blocks, and at least one for the inode. */
export function spaceOf({ size }: Pick<TreeEntry, 'size'>): number {
  return Math.max(1, Math.ceil(size / BLOCK_BYTES)) * BLOCK_BYTES;
}

/** Returns why the file system cannot hold an entry, as the predicate of a sentence; undefined when it can. */
export function findProblem({ kind, path, size }: TreeEntry, limits: TreeLimits): string | undefined {
  if (path.length > limits.maxPathBytes) return `has a path of more than ${limits.maxPathBytes} bytes`;
  if (REFUSED_BY_GIT.test(path.toString('latin1'))) return 'has a name that git refuses';
  const name = nameOf(path);
  if (name.length > limits.maxNameBytes) return tooMany('has a name', name.length, limits.maxNameBytes);
  if (limits.requiresUtf8 && !isUtf8(name)) return 'has a name that is not UTF-8';
  if (limits.refusedBytes.size > 0 && name.some((byte) => limits.refusedBytes.has(byte))) {
    return 'has a character in its name that this file system refuses';
  }
  if (kind === 'link') {
    if (limits.maxLinkBytes === 0) return 'is a link, which this file system does not support';
    if (size === 0) return 'is a link without a target';
    if (size > limits.maxLinkBytes) return tooMany('is a link with a target', size, limits.maxLinkBytes);
  }
  if (kind === 'file' && size > MAX_RULE_FILE_BYTES && RULE_FILES.has(name.toString('latin1'))) {
    return tooMany('is a file of rules for git', size, MAX_RULE_FILE_BYTES);
  }
  return undefined;
}

export function nameOf(path: Buffer): Buffer {
  return path.subarray(path.lastIndexOf(SLASH) + 1);
}

function tooMany(what: string, bytes: number, most: number): string {
  return `${what} of ${bytes} bytes (at most ${most})`;
}

/**
 * Refuses a checkout that would fill the disk.
 * @param folder a folder of the disk
 * @throws AppError `disk_full`
 */
export async function refuseWithoutRoom(needed: { bytes: number; entries: number }, folder: string): Promise<void> {
  const { bavail, bsize, files, ffree } = await statfs(folder);
  const mib = (bytes: number) => `${Math.ceil(bytes / 1024 ** 2)} MiB`;
  const free = bavail * bsize;
  if (needed.bytes > free) {
    throw new AppError('disk_full', `The checkout needs ${mib(needed.bytes)}, and ${mib(free)} are free.`);
  }
  // Some file systems create inodes as needed and report 0.
  if (files > 0 && needed.entries > ffree) {
    const counts = `${needed.entries} files and folders, and the disk has room for ${ffree}`;
    throw new AppError('disk_full', `The checkout consists of ${counts}.`);
  }
}
