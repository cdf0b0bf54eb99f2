import { chown, lstat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '../../config/load-config.ts';
import { AppError } from '../../errors/app-error.ts';
import type { Identities } from '../identity.ts';
import { limitAgent } from '../resource-limits.ts';
import { readSeccompFilter } from '../seccomp/filter.ts';
import { type Service, serveOnSocket } from '../socket-forward.ts';
import type { Confinement, Place, SandboxHome, SandboxRequest } from '../types.ts';
import { type BwrapOption, bwrapCommand } from './bwrap-command.ts';
import { becoming, isolation, uidInside } from './isolation.ts';
import { NO_INSPECTOR } from './no-inspector.ts';
import { ownKeyring } from './session-keyring.ts';
import { cover, isWithin, ownFile, parents, system, textFile, tmpfs, users } from './system-mounts.ts';

const HOME = '/home/agent';
const NODE: Place = { host: process.execPath, inside: '/opt/node/bin/node' };
const BRIDGE: Place = { host: ownFile('bridge.mjs'), inside: '/opt/bridge.mjs' };
const SERVICES = '/run/pullwright';

/**
 * Confinement by bubblewrap 0.8 or newer: namespaces of its own, the system read-only, nothing else of the host but
 * what the request names. https://github.com/containers/bubblewrap
 */
export function createBubblewrap(
  config: Pick<Config, 'DATA_DIR' | 'TICKETS_ROOT'>,
  identities: Identities,
): Confinement {
  const folders = [config.DATA_DIR, config.TICKETS_ROOT];
  const workspace = workspaceMount(folders);

  return {
    kind: 'bubblewrap',
    path: (place) => place.inside,
    layout: () => ({ workspace, home: HOME, node: NODE.inside }),
    serve: (server, port) => serveOnSocket(server, port, join(config.DATA_DIR, 'tmp')),
    async command(request, processMib) {
      const user = identities.of(request.workspace) ?? 'server';
      const inlets = (request.services ?? []).flatMap(({ inlet }) => inlet ?? []);
      // A socket takes connections from those who may write it.
      const sockets = inlets.flatMap(({ folder }) => [folder, join(folder, 'socket')]);
      if (user !== 'server') await Promise.all(sockets.map((path) => chown(path, user, user)));
      const options: BwrapOption[] = [
        ...['--seccomp', await readSeccompFilter()],
        ...isolation(user),
        ...system(),
        ...users(uidInside(user)),
        ...(await cover(folders)),
        ...home(request.home),
        ...shown([NODE, BRIDGE, ...(request.mounts ?? []), ...gitFolders(request, workspace)]),
        ...parents(inlets.map(({ port }) => join(SERVICES, String(port)))),
        ...inlets.flatMap(({ folder, port }) => ['--ro-bind', folder, join(SERVICES, String(port))]),
        ...(await work(request, workspace)),
        ...environment({ ...request.env, ...bridge(inlets) }),
        ...['--remount-ro', '/dev', '--remount-ro', '/'],
      ];
      return bwrapCommand(
        options,
        [...limitAgent(processMib), ...becoming(user), ...bridged(request.argv, inlets)],
        ownKeyring(),
      );
    },
  };
}

/** Where workspaces are mounted: a path that hides no folder which must be seen at its own path. */
function workspaceMount(folders: string[]): string {
  const free = ['/work', '/workspace', '/ticket'].find((mount) => !folders.some((folder) => isWithin(mount, folder)));
  if (free === undefined) throw new Error('No mount point is left for workspaces.');
  return free;
}

function home({ folder, readOnly = [], writable = {} }: SandboxHome = { folder: '' }): string[] {
  const mountPoints = [...readOnly, ...Object.keys(writable)].map((path) => join(HOME, path));
  return [
    ...tmpfs(HOME, 512, '0777'),
    // Programs write beside what is mounted there.
    ...parents(mountPoints, '0777'),
    ...readOnly.flatMap((path) => ['--ro-bind', join(folder, path), join(HOME, path)]),
    ...Object.entries(writable).flatMap(([path, host]) => ['--bind', host, join(HOME, path)]),
  ];
}

function shown(places: readonly Place[]): string[] {
  const mounts = places.flatMap(({ host, inside }) => ['--ro-bind', host, inside]);
  return [...parents(places.map(({ inside }) => inside)), ...mounts];
}

function gitFolders({ git }: SandboxRequest, mount: string): Place[] {
  const folders = git === undefined ? [] : [git.dir, git.mirror];
  const hidden = folders.find((folder) => isWithin(mount, folder));
  if (hidden !== undefined) throw new TypeError(`${hidden} cannot be shown at its own path below ${mount}.`);
  return folders.map((folder) => ({ host: folder, inside: folder }));
}

async function work({ workspace, writable, git }: SandboxRequest, mount: string): Promise<BwrapOption[]> {
  return [
    ...[writable ? '--bind' : '--ro-bind', workspace, mount],
    ...(writable && git !== undefined ? await gitFile(workspace, git.dir, mount) : []),
    ...['--chdir', mount],
  ];
}

/** Keeps a writer from its `.git`. What it finds there comes from the server: bubblewrap would follow a link of the workspace. */
async function gitFile(workspace: string, gitDir: string, mount: string): Promise<BwrapOption[]> {
  const found = await lstat(join(workspace, '.git')).catch(() => undefined);
  // A repository that the agent made in an earlier turn.
  if (found?.isDirectory()) return ['--tmpfs', join(mount, '.git'), '--remount-ro', join(mount, '.git')];
  if (found && !found.isFile()) throw new AppError('workspace_tampered', 'The .git of the workspace is not a file.');
  return textFile(join(mount, '.git'), [`gitdir: ${gitDir}`]);
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
