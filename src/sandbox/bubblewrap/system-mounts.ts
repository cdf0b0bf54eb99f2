import { lstatSync, readlinkSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { dirname, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { BwrapOption } from './bwrap-command.ts';
import { procMount } from './proc.ts';

const MIB = 1024 * 1024;

/** Tops of the system that are folders on some distributions and links into /usr on most. */
const SYSTEM_FOLDERS = ['/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32'];

/** What the dynamic linker reads: https://man7.org/linux/man-pages/man8/ld.so.8.html */
const LINKER_FILES = ['alternatives', 'ld.so.cache', 'ld.so.conf', 'ld.so.conf.d'];

/**
 * Of /etc, what programs need to find libraries and certificates; nothing that names people, hosts or secrets. Beside the
 * certificates distributions keep the keys of the machine (ssl/private, pki/tls/private): so no folder is shown as a whole
 * that holds more than certificates. Many of these are links to one another.
 */
const ETC = [
  ...[...LINKER_FILES, 'ca-certificates', 'localtime'],
  ...['certs', 'cert.pem', 'openssl.cnf'].flatMap((name) => [`ssl/${name}`, `pki/tls/${name}`]),
  ...['pki/ca-trust', 'pki/java'],
];

/** Of /etc, what is the same in every sandbox. */
const BUNDLED_ETC = ['hosts', 'nsswitch.conf', 'gitconfig'];

/** The programs and libraries of the machine, read-only. */
export function systemPrograms(): string[] {
  return ['--ro-bind', '/usr', '/usr', ...SYSTEM_FOLDERS.flatMap(sameAsHost), '--dir', '/etc', ...etc(LINKER_FILES)];
}

/** The same with what programs of a repository expect besides: certificates, users, /proc, /dev, /tmp. */
export function systemMounts(): string[] {
  return [
    ...systemPrograms(),
    ...parents(ETC.map((name) => `/etc/${name}`)),
    ...etc(ETC.filter((name) => !LINKER_FILES.includes(name))),
    ...BUNDLED_ETC.flatMap((name) => ['--ro-bind', bundledFile(`etc/${name}`), `/etc/${name}`]),
    ...procMount(),
    ...['--dev', '/dev'],
    ...tmpfs('/dev/shm', 64, '1777'),
    ...tmpfs('/tmp', 512, '1777'),
  ];
}

/** The users that are known inside, passwd(5) and group(5): of a program that has this uid. */
export function accountFiles(uid: number): BwrapOption[] {
  const passwd = [`root:x:0:0:root:/:/usr/sbin/nologin`, `agent:x:${uid}:${uid}:agent:/home/agent:/bin/sh`];
  const group = ['root:x:0:', `agent:x:${uid}:`];
  return [...textFile('/etc/passwd', passwd), ...textFile('/etc/group', group)];
}

/** A file that exists in the sandbox only, which everybody inside can read. */
export function textFile(path: string, lines: readonly string[]): BwrapOption[] {
  return ['--perms', '0644', '--ro-bind-data', new TextEncoder().encode(`${lines.join('\n')}\n`), path];
}

/** A server may live below /usr, which is shown whole: its folders and the one with its `.env` are covered. */
export async function hideFolders(folders: readonly string[]): Promise<string[]> {
  const paths = await Promise.all([process.cwd(), ...folders].map((folder) => realpath(folder).catch(() => '')));
  const covered = paths.filter((path) => isWithin('/usr', path) && !isWithin(path, process.execPath));
  return covered.flatMap((path) => ['--tmpfs', path]);
}

/** Makes the folders above mount points, which bubblewrap by itself makes for the one user who mounts. */
export function parents(mountPoints: readonly string[], mode = '0755'): string[] {
  const folders = new Set(mountPoints.flatMap(foldersAbove));
  return [...folders].sort().flatMap((folder) => ['--perms', mode, '--dir', folder]);
}

/** `/a` and `/a/b` of `/a/b/c`. */
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

export function bundledFile(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}

function etc(names: readonly string[]): string[] {
  return names.flatMap((name) => sameAsHost(`/etc/${name}`));
}

/** What the host has at a path, if anything: a link stays one, since what it leads to may be relative to its place. */
function sameAsHost(path: string): string[] {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return [];
  return stats.isSymbolicLink() ? ['--symlink', readlinkSync(path), path] : ['--ro-bind', path, path];
}
