import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Absolute paths of a cgroup hierarchy: its mount point and the cgroup of this process. */
export type Hierarchy = { mount: string; own: string };

export type Hierarchies = {
  /** Hierarchies of cgroup v1, by controller. */
  v1: ReadonlyMap<string, Hierarchy>;
  /** The unified hierarchy of cgroup v2. */
  v2?: Hierarchy;
};

type MountInfo = { root: string; point: string; type: string; options: readonly string[] };

/**
 * Reads the mounted cgroup hierarchies and the cgroup of this process in each. Skips cgroups outside the mounts.
 * Formats: `/proc/self/cgroup` of cgroups(7), `/proc/self/mountinfo` of proc(5).
 */
export async function readHierarchies(): Promise<Hierarchies> {
  const [cgroups, mountinfo] = await Promise.all([read('/proc/self/cgroup'), read('/proc/self/mountinfo')]);
  const mounts = mountinfo.split('\n').flatMap(parseMount);
  const v1 = new Map<string, Hierarchy>();
  let v2: Hierarchy | undefined;
  for (const line of cgroups.split('\n')) {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (controllers === undefined || path === undefined) continue;
    const unified = controllers === '';
    if (unified) v2 = locate(mounts, path, ({ type }) => type === 'cgroup2');
    for (const controller of unified ? [] : controllers.split(',')) {
      const found = locate(mounts, path, ({ type, options }) => type === 'cgroup' && options.includes(controller));
      if (found) v1.set(controller, found);
    }
  }
  return { v1, v2 };
}

function parseMount(line: string): MountInfo[] {
  const [before = '', after = ''] = line.split(' - ');
  const [, , , root, point] = before.split(' ');
  const [type, , options] = after.split(' ');
  if (root === undefined || point === undefined || type === undefined || options === undefined) return [];
  return [{ root, point, type, options: options.split(',') }];
}

function locate(mounts: readonly MountInfo[], path: string, matches: (mount: MountInfo) => boolean) {
  for (const mount of mounts.filter(matches)) {
    const prefix = mount.root === '/' ? '' : mount.root;
    // The path contains `..` when the process is outside the root of its cgroup namespace.
    if (path.split('/').includes('..') || !`${path}/`.startsWith(`${prefix}/`)) continue;
    return { mount: mount.point, own: join(mount.point, path.slice(prefix.length)) };
  }
  return undefined;
}

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    // Not Linux, or no /proc.
    return '';
  }
}
