import { chown, lstat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '../../config/load-config.ts';
import { AppError } from '../../errors/app-error.ts';
import type { Identities } from '../identity.ts';
import { limitAgent } from '../resource-limits.ts';
import { readSeccompFilter } from '../seccomp/filter.ts';
import { createSocketForward, type SocketForward } from '../socket-forward.ts';
import type { Confinement, Mount, SandboxHome, SandboxRequest } from '../types.ts';
import { type BwrapOption, bwrapCommand } from './bwrap-command.ts';
import { isolation, switchUser, uidInside } from './isolation.ts';
import { NO_INSPECTOR } from './no-inspector.ts';
import { newSessionKeyring } from './session-keyring.ts';
import {
  accountFiles,
  bundledFile,
  hideFolders,
  isWithin,
  parents,
  systemMounts,
  textFile,
  tmpfs,
} from './system-mounts.ts';

const HOME = '/home/agent';
const NODE: Mount = { host: process.execPath, inside: '/opt/node/bin/node' };
const BRIDGE: Mount = { host: bundledFile('bridge.mjs'), inside: '/opt/bridge.mjs' };
const FORWARDS = '/run/pullwright';

/**
 * Confinement by bubblewrap 0.8 or newer: namespaces of its own, the system read-only, nothing else of the host but
 * what the request names. https://github.com/containers/bubblewrap
 */
export function createBubblewrap(
  config: Pick<Config, 'DATA_DIR' | 'TICKETS_ROOT'>,
  identities: Identities,
): Confinement {
  const folders = [config.DATA_DIR, config.TICKETS_ROOT];
  const workspace = workspaceMountPoint(folders);

  return {
    kind: 'bubblewrap',
    path: (mount) => mount.inside,
    layout: () => ({ workspace, home: HOME, node: NODE.inside }),
    forward: (server, port) => createSocketForward(server, port, join(config.DATA_DIR, 'tmp')),
    async command(request, processMib) {
      const user = identities.of(request.workspace) ?? 'server';
      const sockets = (request.forwards ?? []).flatMap(({ socket }) => socket ?? []);
      // A socket takes connections from those who may write it.
      const owned = sockets.flatMap(({ folder }) => [folder, join(folder, 'socket')]);
      if (user !== 'server') await Promise.all(owned.map((path) => chown(path, user, user)));
      const options: BwrapOption[] = [
        ...['--seccomp', await readSeccompFilter()],
        ...isolation(user),
        ...systemMounts(),
        ...accountFiles(uidInside(user)),
        ...(await hideFolders(folders)),
        ...homeMounts(request.home),
        ...readOnlyMounts([NODE, BRIDGE, ...(request.mounts ?? []), ...gitMounts(request, workspace)]),
        ...parents(sockets.map(({ port }) => join(FORWARDS, String(port)))),
        ...sockets.flatMap(({ folder, port }) => ['--ro-bind', folder, join(FORWARDS, String(port))]),
        ...(await workspaceMounts(request, workspace)),
        ...environment({ ...request.env, ...bridgeVariables(sockets) }),
        ...['--remount-ro', '/dev', '--remount-ro', '/'],
      ];
      return bwrapCommand(
        options,
        [...limitAgent(processMib), ...switchUser(user), ...withBridge(request.argv, sockets)],
        newSessionKeyring(),
      );
    },
  };
}

/** Where workspaces are mounted: a path that hides no folder which must be seen at its own path. */
function workspaceMountPoint(folders: string[]): string {
  const free = ['/work', '/workspace', '/ticket'].find((mount) => !folders.some((folder) => isWithin(mount, folder)));
  if (free === undefined) throw new Error('No mount point is left for workspaces.');
  return free;
}

function homeMounts({ folder, readOnly = [], writable = {} }: SandboxHome = { folder: '' }): string[] {
  const mountPoints = [...readOnly, ...Object.keys(writable)].map((path) => join(HOME, path));
  return [
    ...tmpfs(HOME, 512, '0777'),
    // Programs write beside what is mounted there.
    ...parents(mountPoints, '0777'),
    ...readOnly.flatMap((path) => ['--ro-bind', join(folder, path), join(HOME, path)]),
    ...Object.entries(writable).flatMap(([path, host]) => ['--bind', host, join(HOME, path)]),
  ];
}

function readOnlyMounts(mounts: readonly Mount[]): string[] {
  const options = mounts.flatMap(({ host, inside }) => ['--ro-bind', host, inside]);
  return [...parents(mounts.map(({ inside }) => inside)), ...options];
}

function gitMounts({ git }: SandboxRequest, mountPoint: string): Mount[] {
  const folders = git === undefined ? [] : [git.dir, git.mirror];
  const hidden = folders.find((folder) => isWithin(mountPoint, folder));
  if (hidden !== undefined) throw new TypeError(`${hidden} cannot be shown at its own path below ${mountPoint}.`);
  return folders.map((folder) => ({ host: folder, inside: folder }));
}

async function workspaceMounts(
  { workspace, writable, git }: SandboxRequest,
  mountPoint: string,
): Promise<BwrapOption[]> {
  return [
    ...[writable ? '--bind' : '--ro-bind', workspace, mountPoint],
    ...(writable && git !== undefined ? await protectGitFile(workspace, git.dir, mountPoint) : []),
    ...['--chdir', mountPoint],
  ];
}

/** Keeps a writer from its `.git`. What it finds there comes from the server: bubblewrap would follow a link of the workspace. */
async function protectGitFile(workspace: string, gitDir: string, mountPoint: string): Promise<BwrapOption[]> {
  const found = await lstat(join(workspace, '.git')).catch(() => undefined);
  // A repository that the agent made in an earlier turn.
  if (found?.isDirectory()) return ['--tmpfs', join(mountPoint, '.git'), '--remount-ro', join(mountPoint, '.git')];
  if (found && !found.isFile()) throw new AppError('workspace_tampered', 'The .git of the workspace is not a file.');
  return textFile(join(mountPoint, '.git'), [`gitdir: ${gitDir}`]);
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

type Sockets = readonly NonNullable<SocketForward['socket']>[];

/** There is no network: the bridge makes loopback ports of the Unix sockets of the forwards. */
function bridgeVariables(sockets: Sockets): Record<string, string> {
  if (sockets.length === 0) return {};
  return { BRIDGE: sockets.map(({ port }) => `${port}=${FORWARDS}/${port}/socket`).join(',') };
}

/** A program of Node takes the bridge along; for any other, one process of Node stands by. */
function withBridge([program, ...args]: SandboxRequest['argv'], sockets: Sockets): string[] {
  const node = [NODE.inside, NO_INSPECTOR];
  if (program === NODE.inside) return [...node, ...(sockets.length > 0 ? ['--import', BRIDGE.inside] : []), ...args];
  return sockets.length > 0 ? [...node, BRIDGE.inside, program, ...args] : [program, ...args];
}
