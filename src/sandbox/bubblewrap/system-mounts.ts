import { lstatSync, readlinkSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { dirname, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { BwrapOption } from './bwrap-command.ts';
import { procMount } from './proc.ts';

const MIB = 1024 * 1024;

/** Top-level system paths: links into /usr on most distributions, folders on the others. */
const SYSTEM_FOLDERS = ['/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32'];

/** Files of /etc that the dynamic linker reads: https://man7.org/linux/man-pages/man8/ld.so.8.html */
const LINKER_FILES = ['alternatives', 'ld.so.cache', 'ld.so.conf', 'ld.so.conf.d'];

/**
 * Files of /etc for libraries and certificates, none with users, hosts or secrets. Distributions keep private keys beside
 * certificates (ssl/private, pki/tls/private), so only folders that contain nothing but certificates are mounted whole.
 */
const ETC = [
  ...[...LINKER_FILES, 'ca-certificates', 'localtime'],
  ...['certs', 'cert.pem', 'openssl.cnf'].flatMap((name) => [`ssl/${name}`, `pki/tls/${name}`]),
  ...['pki/ca-trust', 'pki/java'],
];

/** Files of /etc that the project ships. */
const BUNDLED_ETC = ['hosts', 'nsswitch.conf', 'gitconfig'];

/** Returns options that mount the programs and libraries of the machine, read-only. */
export function systemPrograms(): string[] {
  return ['--ro-bind', '/usr', '/usr', ...SYSTEM_FOLDERS.flatMap(sameAsHost), '--dir', '/etc', ...etc(LINKER_FILES)];
}

/** Adds certificates, users, /proc, /dev and /tmp, which programs of a repository expect. */
export function systemMounts(): string[] {
  return [
    ...systemPrograms(),
    ...parents(ETC.map((name) => `/etc/${name}`)),
    ...etc(ETC.filter((name) => !LINKER_FILES.includes(name))),
    ...BUNDLED_ETC.flatMap((name) => ['--ro-bind', ownFile(`etc/${name}`), `/etc/${name}`]),
    ...procMount(),
    ...['--dev', '/dev'],
    ...tmpfs('/dev/shm', 64, '1777'),
    ...tmpfs('/tmp', 512, '1777'),
  ];
}

/** Returns options that create passwd(5) and group(5) for a program with this uid. */
export function userFiles(uid: number): BwrapOption[] {
  const passwd = [`root:x:0:0:root:/:/usr/sbin/nologin`, `agent:x:${uid}:${uid}:agent:/home/agent:/bin/sh`];
  const group = ['root:x:0:', `agent:x:${uid}:`];
  return [...textFile('/etc/passwd', passwd), ...textFile('/etc/group', group)];
}

/** Returns options that create a world-readable file inside the sandbox. */
export function textFile(path: string, lines: readonly string[]): BwrapOption[] {
  return ['--perms', '0644', '--ro-bind-data', new TextEncoder().encode(`${lines.join('\n')}\n`), path];
}

/** Hides folders of the server, and the working directory with its `.env`, where they lie below /usr. */
export async function hideFolders(folders: readonly string[]): Promise<string[]> {
  const paths = await Promise.all([process.cwd(), ...folders].map((folder) => realpath(folder).catch(() => '')));
  const hidden = paths.filter((path) => isWithin('/usr', path) && !isWithin(path, process.execPath));
  return hidden.flatMap((path) => ['--tmpfs', path]);
}

/** Creates the folders above mount points. Folders that bubblewrap creates itself are closed to other users. */
export function parents(mountPoints: readonly string[], mode = '0755'): string[] {
  const folders = new Set(mountPoints.flatMap(foldersAbove));
  return [...folders].sort().flatMap((folder) => ['--perms', mode, '--dir', folder]);
}

/** Returns `/a` and `/a/b` for `/a/b/c`. */
function foldersAbove(path: string): string[] {
  const folder = dirname(path);
  return folder === '/' ? [] : [...foldersAbove(folder), folder];
}

export function tmpfs(path: string, mib: number, mode: string): string[] {
  return ['--perms', mode, '--size', String(mib * MIB), '--tmpfs', path];
}

export function isWithin(folder: string, path: string): boolean {
  return path === folder || path.startsWith(folder + sep);
}

export function ownFile(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}

function etc(names: readonly string[]): string[] {
  return names.flatMap((name) => sameAsHost(`/etc/${name}`));
}

/** Mounts a path of the host if it exists. Links are recreated, because their targets may be relative. */
function sameAsHost(path: string): string[] {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return [];
  return stats.isSymbolicLink() ? ['--symlink', readlinkSync(path), path] : ['--ro-bind', path, path];
}
