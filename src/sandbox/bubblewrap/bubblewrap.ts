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
import { hideFolders, isWithin, ownFile, parents, systemMounts, textFile, tmpfs, userFiles } from './system-mounts.ts';

const HOME = '/home/agent';
const NODE: Mount = { host: process.execPath, inside: '/opt/node/bin/node' };
const BRIDGE: Mount = { host: ownFile('bridge.mjs'), inside: '/opt/bridge.mjs' };
const FORWARDS = '/run/pullwright';

/**
 * Confines a process by bubblewrap 0.8 or newer: its own namespaces, a read-only system, and the paths of the request.
 * https://github.com/containers/bubblewrap
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
      // Connecting to a socket requires write permission on it.
      const owned = sockets.flatMap(({ folder }) => [folder, join(folder, 'socket')]);
      if (user !== 'server') await Promise.all(owned.map((path) => chown(path, user, user)));
      const options: BwrapOption[] = [
        ...['--seccomp', await readSeccompFilter()],
        ...isolation(user),
        ...systemMounts(),
        ...userFiles(uidInside(user)),
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

/** Chooses a mount point for workspaces that hides no folder of the server: git directories keep their own paths. */
function workspaceMountPoint(folders: string[]): string {
  const free = ['/work', '/workspace', '/ticket'].find((mount) => !folders.some((folder) => isWithin(mount, folder)));
  if (free === undefined) throw new Error('DATA_DIR and TICKETS_ROOT hide every mount point for workspaces.');
  return free;
}

function homeMounts({ folder, readOnly = [], writable = {} }: SandboxHome = { folder: '' }): string[] {
  const mountPoints = [...readOnly, ...Object.keys(writable)].map((path) => join(HOME, path));
  return [
    ...tmpfs(HOME, 512, '0777'),
    // Programs create files beside these mounts.
    ...parents(mountPoints, '0777'),
    ...readOnly.flatMap((path) => ['--ro-bind', join(folder, path), join(HOME, path)]),
    ...Object.entries(writable).flatMap(([path, host]) => ['--bind', host, join(HOME, path)]),
  ];
}

function readOnlyMounts(mounts: readonly Mount[]): string[] {
  const options = mounts.flatMap(({ host, inside }) => ['--ro-bind', host, inside]);
  return [...parents(mounts.map(({ inside }) => inside)), ...options];
}

function gitMounts({ git }: SandboxRequest, inside: string): Mount[] {
  const folders = git === undefined ? [] : [git.dir, git.mirror];
  const hidden = folders.find((folder) => isWithin(inside, folder));
  if (hidden !== undefined) throw new TypeError(`${hidden} cannot be mounted at its own path below ${inside}.`);
  return folders.map((folder) => ({ host: folder, inside: folder }));
}

async function workspaceMounts({ workspace, writable, git }: SandboxRequest, inside: string): Promise<BwrapOption[]> {
  return [
    ...[writable ? '--bind' : '--ro-bind', workspace, inside],
    ...(writable && git !== undefined ? await protectGitFile(workspace, git.dir, inside) : []),
    ...['--chdir', inside],
  ];
}

/** Hides the `.git` of a writable workspace behind a file of the server: bubblewrap would follow a link in the workspace. */
async function protectGitFile(workspace: string, gitDir: string, inside: string): Promise<BwrapOption[]> {
  const found = await lstat(join(workspace, '.git')).catch(() => undefined);
  // The agent created a repository in an earlier turn.
  if (found?.isDirectory()) return ['--tmpfs', join(inside, '.git'), '--remount-ro', join(inside, '.git')];
  if (found && !found.isFile()) throw new AppError('workspace_tampered', 'The .git of the workspace is not a file.');
  return textFile(join(inside, '.git'), [`gitdir: ${gitDir}`]);
}

function environment(env: SandboxRequest['env'] = {}): string[] {
  const all = {
    PATH: '/opt/node/bin:/usr/local/bin:/usr/bin:/bin',
    HOME,
    LANG: 'C.UTF-8',
    // Git must not try to refresh the index, which is read-only.
    GIT_OPTIONAL_LOCKS: '0',
    ...env,
  };
  return Object.entries(all).flatMap(([name, value]) => ['--setenv', name, value]);
}

type Sockets = readonly NonNullable<SocketForward['socket']>[];

/** Returns the variables of the bridge, which turns the Unix sockets of the forwards into loopback ports. */
function bridgeVariables(sockets: Sockets): Record<string, string> {
  if (sockets.length === 0) return {};
  return { BRIDGE: sockets.map(({ port }) => `${port}=${FORWARDS}/${port}/socket`).join(',') };
}

/** Preloads the bridge in a Node program. Any other program runs as a child of the bridge. */
function withBridge([program, ...args]: SandboxRequest['argv'], sockets: Sockets): string[] {
  const node = [NODE.inside, NO_INSPECTOR];
  if (program === NODE.inside) return [...node, ...(sockets.length > 0 ? ['--import', BRIDGE.inside] : []), ...args];
  return sockets.length > 0 ? [...node, BRIDGE.inside, program, ...args] : [program, ...args];
}
