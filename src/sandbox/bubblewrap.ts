import { existsSync, lstatSync, readlinkSync } from 'node:fs';
import { lstat, realpath } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Config } from '../config/load-config.ts';
import { AppError } from '../errors/app-error.ts';
import { NO_INSPECTOR } from './no-inspector.ts';
import { type Service, serveOnSocket } from './service.ts';
import type { Confinement, Place, SandboxHome, SandboxRequest } from './types.ts';

const HOME = '/home/agent';
const NODE: Place = { host: process.execPath, inside: '/opt/node/bin/node' };
const BRIDGE: Place = { host: ownFile('bridge.mjs'), inside: '/opt/bridge.mjs' };
const SERVICES = '/run/pullwright';
const MIB = 1024 * 1024;

/** Tops of the system that are folders on some distributions and links into /usr on most. */
const SYSTEM_FOLDERS = ['/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32'];

/**
 * Of /etc, what programs need to find libraries and certificates; nothing that names people, hosts or secrets. Beside the
 * certificates distributions keep the keys of the machine (ssl/private, pki/tls/private): so no folder is shown as a whole
 * that holds more than certificates. Many of these are links to one another.
 */
const ETC = [
  ...['alternatives', 'ca-certificates', 'ld.so.cache', 'ld.so.conf', 'ld.so.conf.d', 'localtime'],
  ...['certs', 'cert.pem', 'openssl.cnf'].flatMap((name) => [`ssl/${name}`, `pki/tls/${name}`]),
  ...['pki/ca-trust', 'pki/java'],
];

/** Of /etc, what is the same in every sandbox. */
const OWN_ETC = ['passwd', 'group', 'hosts', 'nsswitch.conf', 'gitconfig'];

/** Per process of the sandbox; only the number of processes counts for all of them together. */
const LIMITS = ['--nproc=1024', '--nofile=4096', `--fsize=${1024 * MIB}`, '--core=0', `--data=${4096 * MIB}`];

/**
 * Confinement by bubblewrap 0.8 or newer: namespaces of its own, the system read-only, nothing else of the host but
 * what the request names. https://github.com/containers/bubblewrap
 */
export function createBubblewrap(config: Pick<Config, 'DATA_DIR' | 'TICKETS_ROOT'>): Confinement {
  const folders = [config.DATA_DIR, config.TICKETS_ROOT];
  const workspace = workspaceMount(folders);

  return {
    kind: 'bubblewrap',
    path: (place) => place.inside,
    layout: () => ({ workspace, home: HOME, node: NODE.inside }),
    serve: (server, port) => serveOnSocket(server, port, join(config.DATA_DIR, 'tmp')),
    async command(request) {
      const inlets = (request.services ?? []).flatMap(({ inlet }) => inlet ?? []);
      const options = [
        ...isolation(),
        ...system(),
        ...(await hidden(folders)),
        ...home(request.home),
        ...[NODE, BRIDGE, ...(request.mounts ?? [])].flatMap(({ host, inside }) => ['--ro-bind', host, inside]),
        ...inlets.flatMap(({ folder, port }) => ['--ro-bind', folder, join(SERVICES, String(port))]),
        ...(request.readOnlyPaths ?? []).flatMap((path) => ['--ro-bind', path, outside(workspace, path)]),
        ...(await work(request, workspace)),
        ...environment({ ...request.env, ...bridge(inlets) }),
        ...['--remount-ro', '/dev', '--remount-ro', '/'],
      ];
      if (options.some((option) => option.includes('\0'))) throw new TypeError('An option holds a NUL character.');
      // The options go through a file descriptor because argv, and with it every variable, is public. `env -i` because
      // --clearenv leaves bubblewrap's own environment as it was, for all to read in /proc/1/environ, and because
      // instrumentation of the server may add variables to whatever it starts.
      return {
        file: 'env',
        args: ['-i', 'bwrap', '--args', '3', '--', ...limits(), ...bridged(request.argv, inlets)],
        env: {},
        cwd: '/',
        input: options.map((option) => `${option}\0`).join(''),
      };
    },
  };
}

/** Where workspaces are mounted: a path that hides no folder which must be seen at its own path. */
function workspaceMount(folders: string[]): string {
  const free = ['/work', '/workspace', '/ticket'].find((mount) => !folders.some((folder) => isWithin(mount, folder)));
  if (free === undefined) throw new Error('No mount point is left for workspaces.');
  return free;
}

function isolation(): string[] {
  return [
    ...[
      '--unshare-all',
      '--unshare-user',
      '--disable-userns',
      '--uid',
      '1000',
      '--gid',
      '1000',
      '--hostname',
      'sandbox',
    ],
    ...['--cap-drop', 'ALL', '--die-with-parent', '--new-session', '--clearenv'],
  ];
}

function system(): string[] {
  return [
    ...['--ro-bind', '/usr', '/usr', ...SYSTEM_FOLDERS.flatMap(asItIs), '--dir', '/etc'],
    ...ETC.flatMap((name) => asItIs(`/etc/${name}`)),
    ...OWN_ETC.flatMap((name) => ['--ro-bind', ownFile(`etc/${name}`), `/etc/${name}`]),
    ...['--proc', '/proc', '--dev', '/dev'],
    ...tmpfs('/dev/shm', 64),
    ...tmpfs('/tmp', 512),
    ...['--perms', '0700', ...tmpfs(HOME, 512)],
  ];
}

/** What the host has at a path, if anything: a link stays one, since what it leads to may be relative to its place. */
function asItIs(path: string): string[] {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return [];
  return stats.isSymbolicLink() ? ['--symlink', readlinkSync(path), path] : ['--ro-bind', path, path];
}

/** A server may live below /usr, which is shown whole: its folders and the one with its `.env` are covered. */
async function hidden(folders: string[]): Promise<string[]> {
  const paths = await Promise.all([process.cwd(), ...folders].map((folder) => realpath(folder).catch(() => '')));
  const covered = paths.filter((path) => isWithin('/usr', path) && !isWithin(path, process.execPath));
  return covered.flatMap((path) => ['--tmpfs', path]);
}

function home({ folder, readOnly = [], writable = {} }: SandboxHome = { folder: '' }): string[] {
  return [
    ...readOnly.flatMap((path) => ['--ro-bind', join(folder, path), join(HOME, path)]),
    ...Object.entries(writable).flatMap(([path, host]) => ['--bind', host, join(HOME, path)]),
  ];
}

async function work({ workspace, writable }: SandboxRequest, mount: string): Promise<string[]> {
  const git = join(workspace, '.git');
  const stats = await lstat(git).catch(() => undefined);
  // Bubblewrap would follow a link and show what it points to.
  if (stats && !stats.isFile() && !stats.isDirectory()) {
    throw new AppError('workspace_tampered', 'The .git of the workspace is neither a file nor a folder.');
  }
  return [
    ...[writable ? '--bind' : '--ro-bind', workspace, mount],
    ...(stats ? ['--ro-bind', git, join(mount, '.git')] : []),
    ...['--chdir', mount],
  ];
}

function environment(env: SandboxRequest['env'] = {}): string[] {
  const all = {
    PATH: '/opt/node/bin:/usr/local/bin:/usr/bin:/bin',
    HOME,
    LANG: 'C.UTF-8',
    // The index is read-only: git must not try to refresh it.
    GIT_OPTIONAL_LOCKS: '0',
    ...env,
  };
  return Object.entries(all).flatMap(([name, value]) => ['--setenv', name, value]);
}

type Inlets = readonly NonNullable<Service['inlet']>[];

/** There is no network: the bridge makes loopback ports of the Unix sockets of the services. */
function bridge(inlets: Inlets): Record<string, string> {
  if (inlets.length === 0) return {};
  return { BRIDGE: inlets.map(({ port }) => `${port}=${SERVICES}/${port}/socket`).join(',') };
}

/** A program of Node takes the bridge along; for any other, one process of Node stands by. */
function bridged([program, ...args]: SandboxRequest['argv'], inlets: Inlets): string[] {
  const node = [NODE.inside, NO_INSPECTOR];
  if (program === NODE.inside) return [...node, ...(inlets.length > 0 ? ['--import', BRIDGE.inside] : []), ...args];
  return inlets.length > 0 ? [...node, BRIDGE.inside, program, ...args] : [program, ...args];
}

function limits(): string[] {
  return existsSync('/usr/bin/prlimit') ? ['/usr/bin/prlimit', ...LIMITS, '--'] : [];
}

function tmpfs(path: string, mib: number): string[] {
  return ['--size', String(mib * MIB), '--tmpfs', path];
}

function outside(mount: string, path: string): string {
  if (isWithin(mount, path)) throw new TypeError(`${path} cannot be shown at its own path below ${mount}.`);
  return path;
}

function isWithin(folder: string, path: string): boolean {
  return path === folder || path.startsWith(folder + sep);
}

function ownFile(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}
